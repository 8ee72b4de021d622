"""The folder of a RocksDB database, looked at from outside: is it one, who has it open, may kvadmin write there.

Nothing here opens the database, and nothing is ever written into its folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stores.errors import StoreRefused
from stores.texts import say

LOCK_FILE: Final = "LOCK"
_LIVE_FILE: Final = re.compile(r"CURRENT|IDENTITY|MANIFEST-\d+|\d+\.(sst|log|blob)")
"""What a reader needs. Not linked: LOCK, whose lock would be lost with a closed descriptor; options and logs."""
_OPTIONS_FILE: Final = re.compile(r"OPTIONS-\d+")
_FLAG: Final = "in-use"
_FLOCK: Final = struct.Struct("hhqqi0q")
"""`struct flock` of 64-bit Linux: type, whence, start, length, process."""


def inspect(path: Path) -> None:
    """Raise StoreRefused, with what to do, unless the path is the folder of a RocksDB database that can be read."""
    with refused_by_system(path):
        names = names_in(path)
    if "CURRENT" not in names:
        raise StoreRefused(
            say("%(path)s is not a RocksDB database: it has no file CURRENT.", path=path),
            say("Give the folder of `store.<id>.path`; it appears when the mail server first starts."),
        )
    with refused_by_system(path):
        os.close(os.open(path / "CURRENT", os.O_RDONLY))


def names_in(path: Path) -> frozenset[str]:
    """The names of everything in a folder."""
    with os.scandir(path) as entries:
        return frozenset(entry.name for entry in entries)


@contextmanager
def refused_by_system(path: Path) -> Iterator[None]:
    """Translate what the operating system says about the folder."""
    try:
        yield
    except FileNotFoundError:
        raise StoreRefused(
            say("There is no folder %(path)s.", path=path),
            say("Check the path; kvadmin has to run on the mail server's own machine to read RocksDB."),
        ) from None
    except NotADirectoryError:
        raise StoreRefused(
            say("%(path)s is a file, not the folder of a RocksDB database.", path=path), say("Give the folder of `store.<id>.path`.")
        ) from None
    except PermissionError:
        raise StoreRefused(
            say("%(path)s is not readable for the user %(user_name)s.", path=path, user_name=user_name(os.geteuid())),
            say("Run kvadmin as %(owner_name)s, or let its group read the folder.", owner_name=_owner_name(path)),
        ) from None
    except OSError as error:
        raise StoreRefused(
            say("%(path)s cannot be read: %(reason)s.", path=path, reason=error.strerror), say("Check the disk and the path.")
        ) from None


def engine_version(path: Path) -> str:
    """The RocksDB version that last opened the database for writing, as its newest options file says; empty when unknown."""
    files = sorted((name for name in names_in(path) if _OPTIONS_FILE.fullmatch(name)), reverse=True)
    for name in files[:1]:
        try:
            head = (path / name).read_text(errors="replace")[:2000]
        except OSError:
            return ""
        found = re.search(r"rocksdb_version=([0-9.]+)", head)
        return found[1] if found else ""
    return ""


def generation(path: Path) -> bytes:
    """Tells two states of the database's list of files apart: the list only grows, and a new opening begins a new one.

    Two readings that are equal mean that the server wrote no table and dropped none between them.
    """
    with refused_by_system(path):
        folder = path.stat().st_ino
        try:
            current = (path / "CURRENT").read_bytes()
            name = (path / "IDENTITY").read_bytes() if (path / "IDENTITY").exists() else b""
            return b"%d %s %s %d" % (folder, name, current, (path / current.decode().strip()).stat().st_size)
        except FileNotFoundError:
            return b"%d gone" % folder


def link_live_files(source: Path, folder: Path) -> None:
    """Make `folder` a picture of the database: one symbolic link for each file a reader needs, none for those that are gone."""
    with refused_by_system(source):
        wanted = {name for name in names_in(source) if _LIVE_FILE.fullmatch(name)}
    present = {name for name in names_in(folder) if _LIVE_FILE.fullmatch(name)}
    for name in present - wanted:
        (folder / name).unlink(missing_ok=True)
    for name in wanted - present:
        (folder / name).symlink_to(source / name)


def holder(path: Path) -> int | None:
    """The process that has the database open for writing: its id, 0 when it cannot be named, None when there is none.

    Asks the system about the lock and never takes it. Must not be called in the process that holds it: closing the
    descriptor would give the lock up. Only Linux is asked; elsewhere an opening for writing tells.
    """
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, process = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else max(0, process)


def held_by(process: int) -> str:
    """Why nothing can be written: the process that holds the lock, by name where the system tells."""
    try:
        name = Path(f"/proc/{process}/comm").read_text().strip() if process else ""
    except OSError:
        name = ""
    who = (
        say("process %(number)s (%(name)s)", number=process, name=name)
        if name
        else say("process %(number)s", number=process)
        if process
        else say("another process")
    )
    return say(
        "RocksDB lets one process write, and %(who)s has this database open. Stop the mail server to edit or purge here, "
        "or use the mail server's own purge.",
        who=who,
    )


def why_not_writable(path: Path) -> str:
    """Why this user must not write into the folder; empty when it may. Files of a foreign owner would lock the server out."""
    try:
        inspect(path)
    except StoreRefused as error:
        return error.message
    owner = path.stat().st_uid
    if os.geteuid() not in (0, owner):
        return say(
            "The database belongs to the user %(owner)s; files written by %(here)s could not be read by the mail server. "
            "Run kvadmin as %(owner)s.",
            owner=user_name(owner),
            here=user_name(os.geteuid()),
        )
    if not os.access(path, os.W_OK | os.X_OK):
        return say("The folder %(path)s is read only.", path=path)
    return ""


def files_in(path: Path) -> frozenset[tuple[str, int]]:
    """Name and inode of every file: a file that was replaced differs."""
    with os.scandir(path) as entries:
        return frozenset((entry.name, entry.inode()) for entry in entries)


def give_to_owner(path: Path, before: frozenset[tuple[str, int]]) -> None:
    """As root: hand the files that appeared since `before` to the owner of the folder, so that the server can open them."""
    if os.geteuid() != 0:
        return
    folder = path.stat()
    for name, _ in files_in(path) - before:
        os.chown(path / name, folder.st_uid, folder.st_gid, follow_symlinks=False)


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _owner_name(path: Path) -> str:
    try:
        return say("its owner %(name)s", name=user_name(path.stat().st_uid))
    except OSError:
        return say("the owner of the folder")


def work_folder() -> Path:
    """This user's own folder for links, logs and option files, under the system's temporary folder; made when missing."""
    folder = Path(tempfile.gettempdir()) / f"kvadmin-rocksdb-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise StoreRefused(
            say("%(folder)s belongs to somebody else or is open to others.", folder=folder),
            say("Remove it, or set TMPDIR to a folder of your own."),
        )
    return folder


class ScratchFolder:
    """A folder that lives as long as this object; what a killed process left behind is removed by the next one."""

    def __init__(self) -> None:
        root = work_folder()
        _remove_abandoned(root)
        made = Path(tempfile.mkdtemp(prefix="new-", dir=root))
        self._flag = os.open(made / _FLAG, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._flag, fcntl.LOCK_EX)
        self.path = made.rename(made.with_name(made.name.replace("new-", "view-", 1)))
        """Only now may others take it for abandoned, and they find its flag held."""

    def remove(self) -> None:
        """Delete the folder with all that is in it. Safe to call twice."""
        if self._flag >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._flag)
            self._flag = -1


def _remove_abandoned(root: Path) -> None:
    """Remove the scratch folders whose flag nobody holds any more."""
    for folder in root.glob("view-*"):
        try:
            flag = os.open(folder / _FLAG, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(flag, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(flag)


def claim(path: Path) -> int | None:
    """Take kvadmin's own turn at writing this database, so that two of its processes do not take each other for the server.

    Returns the descriptor to `give_back`, None while another process has its turn.
    """
    file = _claim_file(path)
    while True:
        descriptor = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)


def give_back(path: Path, descriptor: int) -> None:
    """End the turn; a forked child that inherited the descriptor does not prolong it."""
    _claim_file(path).unlink(missing_ok=True)
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def claimed(path: Path) -> bool:
    """Whether a process of kvadmin has its turn at writing."""
    try:
        descriptor = os.open(_claim_file(path), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _claim_file(path: Path) -> Path:
    return work_folder() / f"writer-{hashlib.sha256(os.fsencode(path)).hexdigest()[:24]}"
