"""Classes of many keys at once are those that `classify` tells of each."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.keyclasses import CLASSES, classify
from stores.keyclasses.many import class_of_all, class_of_group, plan, uniform
from stores.types import Kind

VERSIONS = ("0.10", "0.11", "0.12", "0.13", "0.14", "0.15", "0.16")
WINDOW = (493_000).to_bytes(8, "big")
PREFIXES = [bytes([byte]) for byte in range(0x1D)] + [text for cls in CLASSES.values() for text in cls.texts] + [b"vip/", b"\xff"]
MIDDLES = st.binary(max_size=34) | st.text("abc.@ é\x10\x7f", max_size=20).map(str.encode)
KEYS = st.builds(lambda head, middle, tail: head + middle + tail, st.sampled_from(PREFIXES), MIDDLES, st.sampled_from([b"", WINDOW]))


def by_first(keys: list[bytes]) -> list[list[bytes]]:
    groups = defaultdict(list)
    for key in keys:
        groups[key[0]].append(key)
    return list(groups.values())


@pytest.mark.parametrize("version", VERSIONS)
@given(st.lists(KEYS, min_size=1, max_size=30))
def test_what_is_said_of_all_holds_of_each(version: str, keys: list[bytes]) -> None:
    for group in by_first(keys):
        found = class_of_all(group, version)
        assert found is None or {classify(key, version) for key in group} == {found}


@pytest.mark.parametrize("version", VERSIONS[1:])
@given(st.lists(KEYS, min_size=1, max_size=30))
def test_groups_that_a_server_made_have_the_class_of_each_of_their_keys(version: str, keys: list[bytes]) -> None:
    wanted = plan(version, (), lambda: 0)
    groups = defaultdict(list)
    for key in keys:
        first, window = key[0], key[-8:-5] == b"\0\0\0"
        told = first in wanted.lengths or first in wanted.windows or first in wanted.keys
        groups[first, len(key) if told else 0, window if first in wanted.windows else True].append(key)
    for (first, length, window), group in groups.items():
        joined = b"".join(group) if first in wanted.sent else b""
        if uniform(version, len(group), first, length, window, joined):
            assert {class_of_group(version, first, length, window, joined)} == {classify(key, version) for key in group}


def test_ordinary_keys_are_told_at_once() -> None:
    rates = [b"\x05\xcb\x00\x71" + bytes([number]) + WINDOW for number in range(9)]
    logins = [b"\x05anna%d@example.org" % number + WINDOW for number in range(9)]
    assert class_of_all(rates + logins, "0.11") == ("rate-auth", Kind.COUNTER)
    assert class_of_all([b"\x10anna@example.orgbob@example.com"], "0.16") == ("greylist", Kind.VALUE)
    assert class_of_all([b"\x06" + bytes(32) + WINDOW], "0.16") == ("rate-smtp", Kind.COUNTER)
    assert class_of_all([b"vip/x", b"v"], "0.16") == (None, Kind.UNKNOWN)
    assert class_of_all([b"big", b"black"], "0.16") == (None, Kind.UNKNOWN)
    wanted = plan("0.11", (), lambda: 0)
    assert wanted.texts == {0x0D, 0x0E, 0x10, 0x13}
    assert wanted.counters == {*range(2, 0x0C), 0x11, 0x12}
