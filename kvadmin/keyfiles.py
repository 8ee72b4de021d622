"""Secrets that kvadmin makes for itself: generated once into the data folder (0700) as files that only its user reads (0600)."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def ensure_folder(path: Path) -> None:
    """Create the folder and its parents; what is made here is closed to others. An existing folder is left as it is.

    Raises OSError when it cannot be made or written.
    """
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError("this user may not write there")


def open_to_others(path: Path) -> bool:
    """Whether the group or everybody else can enter the folder."""
    return bool(path.stat().st_mode & 0o077)


def secret_key(data_dir: Path) -> str:
    """The signing key of this data folder, made on first use."""
    return _kept(data_dir / "secret.key", lambda: secrets.token_urlsafe(60))


def field_keys(data_dir: Path) -> str:
    """The field-encryption keys of this data folder, one a line in the file, comma-separated here."""
    text = _kept(data_dir / "field.keys", _new_field_key)
    return ",".join(text.split())


def add_field_key(data_dir: Path) -> None:
    """Put a new key first; the present ones stay and go on decrypting."""
    present = field_keys(data_dir).split(",")
    _replace(data_dir / "field.keys", [_new_field_key(), *present])


def keep_first_field_key(data_dir: Path) -> int:
    """Give up all keys but the first; answers how many."""
    present = field_keys(data_dir).split(",")
    _replace(data_dir / "field.keys", present[:1])
    return len(present) - 1


def _new_field_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _replace(path: Path, lines: list[str]) -> None:
    """Write the file anew in one step: after a crash it is the old or the new one, never half of either."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Content of the file; made atomically, so that processes that start together agree on one value."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(make() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
    return path.read_text().strip()
