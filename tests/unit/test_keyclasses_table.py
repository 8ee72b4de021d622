"""The classes against the table of the format description: byte, versions, kind, secrecy."""

from __future__ import annotations

import csv

from stores.keyclasses import CLASSES, classify
from stores.types import Kind
from tests.fixtures_path import SPEC, needs_fixtures

TABLE = SPEC / "key-classes.tsv"
SLUGS = {
    "KV_ACME": "acme", "KV_OAUTH": "oauth", "KV_RATE_LIMIT_RCPT": "rate-rcpt", "KV_RATE_LIMIT_SCAN": "rate-scan",
    "KV_RATE_LIMIT_LOITER": "rate-loiter", "KV_RATE_LIMIT_AUTH": "rate-auth", "KV_RATE_LIMIT_HASH": "rate-smtp",
    "KV_RATE_LIMIT_SMTP": "rate-smtp", "KV_RATE_LIMIT_CONTACT": "rate-contact",
    "KV_RATE_LIMIT_HTTP_AUTHENTICATED": "rate-http-authenticated", "KV_RATE_LIMIT_HTTP_ANONYMOUS": "rate-http-anonymous",
    "KV_RATE_LIMIT_IMAP": "rate-imap", "KV_TOKEN_REVISION": "token-revision", "KV_QUOTA_BLOB": "quota-blob",
    "KV_REPUTATION_IP": "reputation-ip", "KV_REPUTATION_FROM": "reputation-from", "KV_REPUTATION_DOMAIN": "reputation-domain",
    "KV_REPUTATION_ASN": "reputation-asn", "KV_GREYLIST": "greylist", "KV_BAYES_MODEL_GLOBAL": "bayes-global",
    "KV_BAYES_MODEL_USER": "bayes-account", "KV_TRUSTED_REPLY": "trusted-reply", "KV_LOCK_PURGE_ACCOUNT": "lock-purge-account",
    "KV_LOCK_QUEUE_MESSAGE": "lock-queue-message", "KV_LOCK_QUEUE_REPORT": "lock-queue-report",
    "KV_LOCK_EMAIL_TASK": "lock-email-task", "KV_LOCK_HOUSEKEEPER": "lock-housekeeper", "KV_LOCK_DAV": "lock-dav",
    "KV_SIEVE_ID": "sieve-seen-id",
}  # fmt: skip
KINDS = {"key": Kind.VALUE, "counter": Kind.COUNTER, "lock": Kind.LOCK}

pytestmark = needs_fixtures


def rows() -> list[dict[str, str]]:
    with TABLE.open(newline="") as file:
        return [row for row in csv.DictReader(file, delimiter="\t") if row["byte"].startswith("0x")]


def slug_of(row: dict[str, str]) -> str:
    if row["constant"] == "KV_LOCK_TASK":
        return "lock-task" if row["since_version"] == "v0.16.0" else "lock-email-task"
    return SLUGS[row["constant"]]


def minor(version: str) -> str:
    return ".".join(version.removeprefix("v").split(".")[:2])


def test_every_row_has_a_class_with_its_byte_kind_and_secrecy() -> None:
    seen = set()
    for row in rows():
        cls = CLASSES[slug_of(row)]
        seen.add(cls.slug)
        assert cls.byte == int(row["byte"], 16)
        assert (row["sensitive"] == "yes") == cls.secret
        if "done markers" not in row["title"]:
            assert cls.kind is KINDS[row["kind"]]
        assert cls.area == row["area"] or cls.family in ("oauth", "dav", "quota", "sieve")
        assert cls.written_by(minor(row["since_version"]))
        if not row["until_version"].endswith("+"):
            assert cls.written_by(minor(row["until_version"]))
    assert seen == set(CLASSES)


def test_classes_end_where_the_table_ends_them() -> None:
    last: dict[str, str] = {}
    for row in rows():
        until = minor(row["until_version"].rstrip("+"))
        last[slug_of(row)] = max(last.get(slug_of(row), ""), until)
    for slug, until in last.items():
        assert CLASSES[slug].until == ("" if until == "0.16" else until), slug


def test_text_prefixes_are_those_of_the_table() -> None:
    with TABLE.open(newline="") as file:
        texts = {row["byte"].strip('"').encode() for row in csv.DictReader(file, delimiter="\t") if row["byte"].endswith(":")}
    assert texts == {text for cls in CLASSES.values() for text in cls.texts}
    for text in texts:
        assert classify(text, "0.10")[0] is None
