"""Cursors of ordered stores: the last key that was shown, as URL-safe text. The next page begins right after it."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64

from stores.errors import CursorLost
from stores.texts import say
from stores.types import Cursor, KeyRange

_MARK = "k"
"""First letter of every cursor of this form, so that the empty key has a cursor too."""


def cursor_after(key: bytes) -> Cursor:
    """The cursor of the page that begins with the smallest key after `key`."""
    return Cursor(_MARK + urlsafe_b64encode(key).decode().rstrip("="))


def key_of_cursor(cursor: str) -> bytes:
    """The key that `cursor_after` was given. Raises CursorLost for anything that it did not make."""
    text = cursor.removeprefix(_MARK)
    try:
        key = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (NotBase64, ValueError):
        raise _lost() from None
    if cursor_after(key) != cursor:
        raise _lost()
    return key


def start_after(cursor: str | None, keys: KeyRange) -> bytes:
    """The first key a page may hold: the start of the range, or the smallest key after the cursor's.

    Raises CursorLost when the cursor's key is not in the range.
    """
    if cursor is None:
        return keys.start
    key = key_of_cursor(cursor)
    if key not in keys:
        raise _lost()
    return key + b"\x00"


def _lost() -> CursorLost:
    return CursorLost(say("This page link is not of this store."), say("Start again from the first page."))
