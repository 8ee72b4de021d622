"""Keys in links and forms: unpadded base64url, and sealed where the key itself is a secret.

A sign-in code is the key of its row. Its link must not carry the code into logs, histories and page sources, so it carries
a ciphertext that only this installation can open.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography.fernet import InvalidToken

from stores.errors import BadConfig
from stores.models.fields import cipher
from stores.texts import say

EMPTY: Final = "-"
_SEAL: Final = "~"


class SealedKey(bytes):
    """A key whose bytes must not be readable in its token."""


def token_of(key: bytes) -> str:
    """The text that stands for a key in a link or a form. `-` is the empty key; a SealedKey comes out encrypted."""
    if isinstance(key, SealedKey):
        return _SEAL + cipher().encrypt(bytes(key)).decode().rstrip("=")
    return base64.urlsafe_b64encode(key).decode().rstrip("=") or EMPTY


def key_of(token: str) -> bytes:
    """The key behind a token. Raises BadConfig for a text that no key has."""
    try:
        if token == EMPTY:
            return b""
        if token.startswith(_SEAL):
            return SealedKey(cipher().decrypt(_padded(token[1:]).encode()))
        key = base64.b64decode(_padded(token), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, InvalidToken):
        raise BadConfig(say("This link names no key."), say("Open the key from the list again."), "key") from None
    if token_of(key) != token:
        raise BadConfig(say("This link names no key."), say("Open the key from the list again."), "key")
    return key


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)
