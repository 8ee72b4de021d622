"""What the decoders say: windows, subjects, locks, greylist pairs, secrets, Sieve values."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from stores.codecs.bincode import OAuthCode, encode_certificate, encode_oauth
from stores.codecs.lz4block import pack
from stores.codecs.numbers import put_leb128, put_u32, put_u64
from stores.codecs.rows import entry_from_rows, marker_row, value_row
from stores.keyclasses import Decoded, decode
from stores.keyclasses.addresses import splits
from stores.keyclasses.bayes import join_weights, split_weights, token_of, token_words
from stores.keyclasses.locks import due_time, id_time
from stores.keyclasses.rate_limits import window
from stores.types import Entry, Kind

DAY = 86400
NOW = 1_795_510_085


def counter(key: bytes, number: int, expires_at: int | None, version: str = "0.11", now: float = NOW, **more: Any) -> Decoded:
    return decode(entry_from_rows(key, None if expires_at is None else marker_row(expires_at), number), version, "data", now, **more)


def value(key: bytes, payload: bytes, version: str = "0.11", expires_at: int | None = None, **more: Any) -> Decoded:
    return decode(entry_from_rows(key, value_row(payload, expires_at), None), version, "data", NOW, **more)


def redis(key: bytes, text: bytes, version: str, expires_at: int | None = None) -> Decoded:
    return decode(Entry(key, Kind.UNKNOWN, text, None, expires_at), version, "redis", NOW)


# windows and subjects


@given(st.integers(1, 400 * DAY), st.integers(0, 3_000_000_000), st.integers(-1, 1))
def test_the_period_of_a_window_is_recovered_from_its_end(period: int, now: int, off: int) -> None:
    index = now // period
    found = window(index, (index + 1) * period + (off if index > 4 else 0))
    assert (found.period, found.start, found.end) == (period, index * period, (index + 1) * period)


def test_an_edited_expiry_leaves_the_period_unknown() -> None:
    index = NOW // DAY
    found = window(index, (index + 1) * DAY + 3600)
    assert found.period is None
    shown = counter(b"\x05\xcb\x00\x71\x14" + put_u64(index), 37, (index + 1) * DAY + 3600)
    assert shown.value_label == "37"
    assert "does not fit" in shown.note
    assert shown.fields["running"] is None


def test_a_window_runs_until_its_end() -> None:
    index = NOW // DAY
    key = b"\x05\xcb\x00\x71\x14" + put_u64(index)
    shown = counter(key, 37, (index + 1) * DAY)
    assert (shown.label, shown.value_label) == ("203.0.113.20", "37 in this window")
    assert shown.fields == {
        "ip": "203.0.113.20", "count": 37, "window_index": index, "window_period": DAY, "window_start": index * DAY,
        "window_end": (index + 1) * DAY, "running": True,
    }  # fmt: skip
    assert counter(key, 37, (index + 1) * DAY, now=(index + 1) * DAY).value_label == "37, window over"
    immortal = counter(key, 37, None)
    assert immortal.value_label == "37"
    assert "nothing removes the counter" in immortal.note


def test_redis_counts_in_text() -> None:
    index = NOW // DAY
    shown = redis(b"\x05\xcb\x00\x71\x14" + put_u64(index), b"1234", "0.11", (index + 1) * DAY)
    assert (shown.kind, shown.value_label, shown.fields["count"]) == (Kind.COUNTER, "1,234 in this window", 1234)
    broken = redis(b"\x05\xcb\x00\x71\x14" + put_u64(index), b"12x", "0.11")
    assert "not a number" in broken.problem
    assert redis(b"\x05\xcb\x00\x71\x14" + put_u64(index), b"9" * 19, "0.11").problem == "The text is not a number."


@pytest.mark.parametrize(
    ("subject", "name", "text", "other"),
    [
        (b"\xcb\x00\x71\x14", "ip", "203.0.113.20", False),
        (b"john", "login", "john", True),
        (bytes(15) + b"\x01", "ip", "::1", False),
        (bytes(10) + b"\xff\xff\xc0\x00\x02\x01", "ip", "::ffff:192.0.2.1", False),
        (b"bob@example.org!", "login", "bob@example.org!", True),
        (b"sixteen.letters!", "ip", "7369:7874:6565:6e2e:6c65:7474:6572:7321", False),
        ("müsli@example.org".encode(), "login", "müsli@example.org", False),
        (b"", "login", "", False),
    ],
)
def test_subjects_of_4_and_16_bytes(subject: bytes, name: str, text: str, other: bool) -> None:
    shown = counter(b"\x05" + subject + put_u64(20000), 1, None)
    assert shown.slug == "rate-auth"
    assert shown.fields[name] == text
    assert shown.label == (text or "(empty login)")
    assert ("could also be the address" in shown.note) is other
    assert "No expiry" in shown.note


def test_accounts_without_a_directory_entry() -> None:
    key = b"\x08\xff\xff\xff\xff" + put_u64(20000)
    assert counter(key, 1, None, "0.11").label == "fallback administrator"
    shown = counter(key, 1, None, "0.16")
    assert (shown.label, shown.fields["account_jmap_id"]) == ("recovery administrator", "d333333")


def test_quota_and_token_revisions_share_a_byte() -> None:
    quota = counter(b"\x0b" + put_u32(1) + put_u64(5), 52776558136248, 1892160000, "0.16")
    assert (quota.slug, quota.value_label) == ("quota-blob", "3 uploads, 3,000 bytes")
    assert (quota.fields["uploads"], quota.fields["bytes"]) == (3, 3000)
    revision = counter(b"\x0b" + put_u32(4), 1, None)
    assert (revision.slug, revision.value_label) == ("token-revision", "1 change")


# locks


def test_a_lock_of_a_data_store() -> None:
    key = bytes.fromhex("1504c0316a45e0300072656d6f74650000")
    held = value(key, b"", "0.16", NOW + 600)
    assert (held.kind, held.value_label) == (Kind.LOCK, "held, 10 min left")
    assert held.label == "message jqbrnjc1amaa in queue remote"
    assert held.fields["queue_id"] == 342327904188772352
    assert held.fields["queue_jmap_id"] == "jqbrnjc1amaa"
    over = value(key, b"", "0.16", NOW)
    assert (over.value_label, over.fields["held"]) == ("no longer held", False)
    assert "holds no value" in value(key, b"x", "0.16", NOW + 9).problem
    assert value(key, b"", "0.16").value_label == "held without end"


def test_a_lock_of_redis_counts_attempts_or_says_its_end() -> None:
    key = bytes.fromhex("1504c028a842601006")
    old = redis(key, b"3", "0.11", NOW + 300)
    assert (old.kind, old.value_label, old.fields["attempts"]) == (Kind.LOCK, "held, 5 min left, asked for 3 times", 3)
    new = redis(bytes.fromhex("1704c0316a24e00e00"), b"%d" % (NOW + 3600), "0.16", None)
    assert (new.value_label, new.fields["held_until"]) == ("held, 1 h left", NOW + 3600)
    assert "attempts" not in new.fields
    assert "number" in redis(key, b"x", "0.11").problem


def test_a_counter_lock_of_the_first_0_11() -> None:
    shown = counter(bytes.fromhex("1400000004"), 2, NOW + 60)
    assert (shown.kind, shown.label, shown.value_label) == (Kind.LOCK, "purge of account 4", "held, 1 min left, asked for 2 times")


def test_locks_of_reports_and_tasks() -> None:
    dmarc = value(bytes.fromhex("1601000000006b054fb19d874a40bfb9f8f2") + b"good-sender.org", b"", expires_at=NOW + 1)
    assert (dmarc.label, dmarc.fields["due"], dmarc.fields["policy_hash"]) == (
        "DMARC report to good-sender.org",
        0x6B054FB1,
        "9d874a40bfb9f8f2",
    )
    tls = value(b"\x16\x00" + put_u64(NOW) + b"example.org", b"", expires_at=NOW + 1)
    assert (tls.label, tls.fields["domain"]) == ("TLS report to example.org", "example.org")
    task = value(bytes.fromhex("170009bab32000000000021600"), b"", "0.15", NOW + 300)
    assert task.label == "index, document 22 of account 2"
    assert task.fields["due"] == 1795510496
    alarm = value(b"\x17\x02" + put_u64(NOW) + put_leb128(300) + put_leb128(70000), b"", "0.15", NOW + 1)
    assert (alarm.label, alarm.fields["due"]) == ("calendar alarm, document 70000 of account 300", NOW)
    assert alarm.unverified is False
    train = value(b"\x17\x01" + put_leb128(300) + put_leb128(5), b"", "0.11", NOW + 1)
    assert (train.label, train.unverified) == ("train, document 5 of account 300", True)
    assert value(bytes.fromhex("180200000003"), b"", expires_at=NOW + 1).label == "purge of the in-memory store, schedule 3"


def test_ids_tell_when_they_were_made() -> None:
    assert id_time(342318274813366278) == 1795510073
    assert id_time(0) is None
    assert due_time(NOW) == NOW
    assert due_time((1 << 64) - 1) is None


# spam filter


@pytest.mark.parametrize(
    ("joined", "sender", "recipient"),
    [
        ("news@good-sender.orgjohn@example.com", "news@good-sender.org", "john@example.com"),
        ("john@example.com", "", "john@example.com"),
        ("a@example.co.ukjane.doe@example.com", "a@example.co.uk", "jane.doe@example.com"),
        ("a@mail.combo.orgjoe@example.com", "a@mail.combo.org", "joe@example.com"),
        ("a@example.netty@example.com", "a@example.net", "ty@example.com"),
        ("a@good-sender.examplejohn@example.com", "a@good-sender.example", "john@example.com"),
        ("a@[192.0.2.1]john@example.com", "a@[192.0.2.1]", "john@example.com"),
        ("bounce+x=y@lists.example.infopostmaster@example.de", "bounce+x=y@lists.example.info", "postmaster@example.de"),
    ],
)
def test_a_greylist_pair_is_split_where_a_domain_can_end(joined: str, sender: str, recipient: str) -> None:
    found = splits(joined)
    assert found[0] == (sender, recipient)
    shown = value(b"\x10" + joined.encode(), b"")
    assert shown.label == f"{sender or '<>'} to {recipient}"
    assert shown.value_label == "seen once, the next try passes"
    assert shown.fields["candidates"] == [way.words for way in found]
    assert shown.fields["ambiguous"] is (len(found) > 1)


@given(st.text(max_size=60))
def test_a_split_loses_nothing(text: str) -> None:
    for way in splits(text):
        assert way.sender + way.recipient == text
        assert way.recipient


def test_pairs_that_nothing_splits_stay_joined() -> None:
    shown = value(b"\x10a@b@c@d", b"")
    assert (shown.label, shown.fields["ambiguous"], shown.fields["candidates"]) == ("a@b@c@d", True, [])
    assert "guess" in shown.note
    assert value(b"\x10\xff\xfe", b"").slug is None


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_weights_are_an_inverse_pair(ham: int, spam: int) -> None:
    number = join_weights(ham, spam)
    assert -(1 << 63) <= number < 1 << 63
    assert split_weights(number) == (ham, spam)


@pytest.mark.parametrize(
    ("token", "text", "form"),
    [
        (b"", "training totals", "totals"),
        (b"viagra cheap", "viagra cheap", "word"),
        (b"b.c\x02", "b.c", "domain"),
        (b"a@b.c\x01", "a@b.c", "from address"),
        (b"\x00\x00\xfb\xf4\x03", "AS64500", "network"),
        (b"\xcb\x00\x71\x5a\x04", "203.0.113.90", "remote address"),
        (b"\xcb\x00\x71\x5a\x0a", "203.0.113.90", "address in the body"),
        (b"\x05\x01", "[whole number, 1 digit]", "number"),
        (b"note \x05\x01", "note [whole number, 1 digit]", "number"),
        (b"cheap\x98\xdd\xc8\xa9CZ\x97\xbcmR\xe4", "cheap… + hashed word", "mixed"),
        (b'D\xffQ\xb0\xa1\xfd\x8b,\xbar\xed\x8b\xd2f"\xfd', "hashed 44ff51b0a1fd8b2cba72ed8bd26622fd", "hash"),
    ],
)
def test_bayes_tokens(token: bytes, text: str, form: str) -> None:
    assert token_words(token) == (text, form)
    shown = counter(b"\x12" + put_u32(4) + token, join_weights(12, 340), None)
    assert shown.label == f"{text}, account 4"
    assert shown.value_label.startswith("ham 12, spam 340")


@pytest.mark.parametrize(
    ("words", "token"),
    [
        ("viagra", b"viagra"),
        ("Buy cheap", b"buy cheap"),
        ("million prescript", b"millionjxc\xa1\xd4\x8e\x89WU"),
        ("averyveryverylongtoken", bytes.fromhex("26f2618d023ce89f1135e1bed4614f3d")),
        ("firstlongword secondlongword", bytes.fromhex("c9d1db60c3f6e2ca2c03a01d7aa4b739")),
    ],
)
def test_tokens_of_words(words: str, token: bytes) -> None:
    assert token_of(words) == token


@given(st.text(max_size=80))
def test_a_token_is_never_longer_than_16_bytes(words: str) -> None:
    token = token_of(words)
    assert token is None or 0 < len(token) <= 16


def test_reputation_of_a_sender_without_a_domain_pass() -> None:
    twelve = bytes.fromhex("000000024030000000000000")
    sender = value(b"\x0d_spammer.net", twelve)
    assert (sender.fields["domain"], sender.fields["dmarc_pass"]) == ("spammer.net", False)
    odd = value(b"\x0d_odd@spammer.net", twelve)
    assert (odd.fields["address"], odd.fields["dmarc_pass"]) == ("_odd@spammer.net", True)
    assert sender.value_label == "score +16.00 over 2 messages, leans to spam"
    assert sender.value_parts == ((0, 4, "count 2"), (4, 12, "score 16.0, a 64-bit float"))
    assert "this value has 3" in value(b"\x0d_spammer.net", b"abc").problem
    assert value(b"\x0e_x.org", b"\0\0\0\x01" + bytes.fromhex("7ff8000000000000")).fields["score"] == "nan"
    assert value(b"\x0e_x.org", bytes(12)).value_label == "score +0.00 over 0 messages, neutral"


# secrets


def test_an_oauth_code_is_masked_until_revealed() -> None:
    code = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
    payload = pack(encode_oauth(OAuthCode(2, 0xFFFFFFFF, "webadmin", "n0nce-1", "DEVICECODE")))
    masked = value(b"\x01" + code, payload)
    assert code.decode() not in str(masked)
    assert "DEVICECODE" not in str(masked)
    assert "n0nce" not in str(masked)
    assert (masked.fields["status"], masked.fields["client_id"], masked.fields["params"]) == (
        "Pending",
        "webadmin",
        "hidden, 10 characters",
    )
    assert masked.secret_key
    assert masked.secret_value
    open_ = value(b"\x01" + code, payload, reveal=True)
    assert (open_.fields["code"], open_.fields["params"], open_.fields["nonce"]) == (code.decode(), "DEVICECODE", "n0nce-1")
    broken = value(b"\x01" + code, b"garbage")
    assert "cannot be read" in broken.problem
    assert code.decode() not in str(broken)


def test_an_oauth_code_left_by_the_version_before_is_still_read() -> None:
    payload = pack(encode_oauth(OAuthCode(0, 7, "app", None, "https://app.example.org")))
    shown = value(b"\x01ABCD-EFGH", payload, "0.15")
    assert (shown.fields["encoding"], shown.fields["account_id"], shown.problem) == ("bincode 1", 7, "")


def certificate() -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "self signed")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    built = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
        .not_valid_before(start).not_valid_after(start + datetime.timedelta(days=90))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("mail.example.org")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pkcs8 = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return built.public_bytes(serialization.Encoding.DER), pkcs8


def test_the_private_key_of_a_certificate_never_leaves_the_decoder() -> None:
    public, private = certificate()
    packed = pack(encode_certificate(public, private))
    archived = public + private + bytes(-len(public + private) % 4)
    root = len(archived)
    tail = (-root & 0xFFFFFFFF).to_bytes(4, "little") + len(public).to_bytes(4, "little")
    tail += (len(public) - root - 8 & 0xFFFFFFFF).to_bytes(4, "little") + len(private).to_bytes(4, "little") + b"\x80"
    for version, payload in (("0.11", packed), ("0.15", archived + tail), ("0.15", packed)):
        shown = value(b"\x00mail.example.org", payload, version, reveal=True)
        assert (shown.label, shown.problem) == ("mail.example.org", "")
        assert shown.fields["names"] == ["mail.example.org"]
        assert shown.fields["subject"] == "CN=self signed"
        assert shown.fields["not_before"] == 1767225600
        assert shown.fields["not_after"] == 1767225600 + 90 * DAY
        assert shown.secret_value
        for start in range(0, len(private) - 8, 4):
            assert private[start : start + 8].hex() not in str(shown)
            assert str(private[start : start + 8])[2:-1] not in str(shown)


def test_an_acme_token_is_masked_until_revealed() -> None:
    masked = value(b"\x00tok-http01-fixed", b"tok-http01-fixed.thumbprint")
    assert (masked.value_label, masked.fields["challenge"]) == ("http-01 proof", "http-01")
    assert "tok-http01" not in str(masked)
    assert "thumbprint" not in str(masked)
    open_ = value(b"\x00tok-http01-fixed", b"tok-http01-fixed.thumbprint", reveal=True)
    assert open_.fields["key_authorization"] == "tok-http01-fixed.thumbprint"
    assert "Neither" in value(b"\x00tok-http01-fixed", b"\x30\x82").problem


# user keys


@pytest.mark.parametrize(
    ("payload", "version", "words", "encoding", "warned"),
    [
        (b"", "0.11", "empty", "empty", False),
        (b"rawvalue", "0.11", "“rawvalue”", "text", False),
        (bytes.fromhex("00000000050000000000000068656c6c6f"), "0.11", "“hello”", "bincode 1", False),
        (bytes.fromhex("00000000050000000000000068656c6c6f"), "0.15", "“hello”", "bincode 1", True),
        (bytes.fromhex("000568656c6c6f"), "0.15", "“hello”", "bincode 2", False),
        (bytes.fromhex("000568656c6c6f"), "0.11", "“hello”", "bincode 2", True),
        (bytes.fromhex("0302020000000000000440 0106"), "0.16", "[2.5, 3]", "bincode 2", False),
        (b"\xff\xfe\x00", "0.16", "3 bytes", "binary", False),
        (b"a\x00b\n", "0.16", "“a\\x00b\\n”", "text", False),
    ],
)
def test_values_of_user_keys(payload: bytes, version: str, words: str, encoding: str, warned: bool) -> None:
    shown = value(b"my key", payload, version)
    assert shown.slug is None
    assert (shown.value_label, shown.fields["encoding"]) == (words, encoding)
    assert ("misreads" in shown.note) is warned
    assert shown.editable == ("" if encoding == "binary" else "sieve-value")


def test_user_keys_that_are_counters_or_both() -> None:
    assert counter(b"xc.neg", -3, None).value_label == "-3"
    both = decode(entry_from_rows(b"zz", value_row(b"key", None), 8), "0.11", "data", NOW)
    assert (both.kind, both.value_label, both.fields["count"]) == (Kind.VALUE, "“key”", 8)
    assert "also a counter: 8" in both.note
    on_redis = redis(b"xc.five", b"5", "0.11")
    assert (on_redis.kind, on_redis.value_label, on_redis.fields["number"]) == (Kind.UNKNOWN, "5", 5)


def test_odd_names_are_shown_and_nothing_is_lost() -> None:
    assert value(b"", b"x").label == "(empty key)"
    assert value(b"sv:nul\x00key", b"x").label == "sv:nul\\x00key"
    assert value(b"\xff\xfe", b"x").label == "\\xff\\xfe"
    long = value(b"L" * 3000, b"x")
    assert len(long.label) == 201
    assert long.label.endswith("…")


def test_the_first_part_of_a_long_value_is_not_edited() -> None:
    entry = Entry(b"k", Kind.UNKNOWN, b"x" * 1000, length=5_000_000)
    shown = decode(entry, "0.16", "redis", NOW)
    assert shown.value_label.startswith("5,000,000 bytes, beginning “xxx")
    assert "first 1,000 of 5,000,000" in shown.note
    assert shown.editable == ""


def test_a_large_list_is_not_taken_apart_for_a_table() -> None:
    payload = b"\x03\xfd" + (60000).to_bytes(8, "little") + b"\x01\x00" * 60000
    assert value(b"k", payload, "0.16").value_label == "120,010 bytes"
