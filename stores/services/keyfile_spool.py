"""Uploaded files of keys: kept in the data folder, for nobody else to read, until their run has ended."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.utils.translation import gettext as _

from stores.errors import BadConfig, NotSupported, StoreUnavailable

MEGABYTES: Final = 2048
"""Largest file, unless the setting KVADMIN_IMPORT_MB says otherwise."""
KEPT_SECONDS: Final = 86_400
"""How long a file stays that no run has finished: since its upload, or since its run ended early."""
_SPARE: Final = 256 << 20
"""Bytes that stay free on the disk."""


def accept(chunks: Iterable[bytes]) -> str:
    """Store an upload piece by piece; answers its id. Raises BadConfig(field="file") when it is too large or the disk is full."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = str(uuid4())
    path = folder / name
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            _copy(chunks, file, shutil.disk_usage(folder).free - _SPARE)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StoreUnavailable(_("The file could not be kept: %(why)s.") % {"why": error.strerror}) from None
        raise
    return name


def _copy(chunks: Iterable[bytes], file: BinaryIO, room: int) -> None:
    largest = int(getattr(settings, "KVADMIN_IMPORT_MB", MEGABYTES)) * 1_000_000
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > largest:
            raise BadConfig(_("The file is larger than %(size)d MB.") % {"size": largest // 1_000_000}, _("Split it."), "file")
        if size > room:
            raise BadConfig(_("There is no room for the file on kvadmin's disk."), _("Make room, or split the file."), "file")
        file.write(chunk)


def open_file(name: str) -> BinaryIO:
    """Open an upload for reading. Raises NotSupported when it is gone: too old, or on another machine."""
    try:
        return (_folder() / str(UUID(name))).open("rb")
    except (OSError, ValueError):
        raise NotSupported(
            _("The file of this import is not here any more."), _("Upload it again. Web and worker processes need one data folder.")
        ) from None


def exists(name: str) -> bool:
    """Whether an upload is still here."""
    return (_folder() / str(UUID(name))).is_file()


def size_of(name: str) -> int:
    """Bytes of an upload; 0 when it is gone."""
    try:
        return (_folder() / str(UUID(name))).stat().st_size
    except (OSError, ValueError):
        return 0


def renew(name: str) -> None:
    """Keep an upload for another day. Nothing when it is gone."""
    with suppress(OSError):
        os.utime(_folder() / str(UUID(name)))


def remove(name: str) -> None:
    """Throw an upload away. Safe to call twice."""
    (_folder() / str(UUID(name))).unlink(missing_ok=True)


def remove_old(needed: Iterable[str]) -> int:
    """Throw away the uploads older than a day that no run needs; answers how many."""
    keep, removed = set(needed), 0
    for path in _folder().glob("*-*"):
        if path.name not in keep and path.stat().st_mtime < time.time() - KEPT_SECONDS:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _folder() -> Path:
    return Path(settings.DATA_DIR) / "imports"
