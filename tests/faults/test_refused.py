"""The password changes, or no connection is left, under stores that are open: the right words, and recovery without opening anew."""

from __future__ import annotations

import pytest

from stores.errors import StoreRefused, StoreUnavailable
from tests.faults.conftest import fails, recovered
from tests.faults.places import SECRET, Place, SentinelPlace

OTHER = "an0ther-s3cret"


def test_a_password_that_changes_under_an_open_store(place: Place) -> None:
    with place.open() as backend, place.open() as counting:
        backend.key_set(b"k", b"v")
        steps = counting.census()
        place.change_password(OTHER)
        try:
            for call in (
                lambda: backend.get(b"k"),
                lambda: backend.scan(),
                lambda: backend.key_set(b"k", b"w"),
                lambda: backend.ping(),
                lambda: list(steps),
            ):
                try:
                    error = fails(place, call, StoreRefused)
                except AssertionError:
                    raise
                except StoreUnavailable:
                    error = fails(place, call, StoreRefused)  # the cut connection was noticed first
                assert OTHER not in str(error)
                assert "user" in str(error) or "login" in str(error)
        finally:
            place.change_password(SECRET)
        assert recovered(backend).key_get(b"k") == b"v", "nothing was written meanwhile"


def test_no_connection_is_left(place: Place) -> None:
    with place.open() as backend:
        backend.key_set(b"k", b"v")
        place.exhaust()
        try:
            for call in (lambda: backend.get(b"k"), lambda: backend.scan(), lambda: backend.key_set(b"k", b"w"), lambda: backend.ping()):
                error = fails(place, call, StoreUnavailable)
                if not isinstance(place, SentinelPlace):  # its sentinels find no free connection either, and no primary
                    assert "connection" in str(error)
            with place.open() as other, pytest.raises(StoreUnavailable):
                other.scan()
        finally:
            place.relieve()
        assert recovered(backend).key_get(b"k") == b"v"
