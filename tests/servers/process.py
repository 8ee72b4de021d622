"""Child processes that never outlive the test run: ended by pid at exit, and by the kernel when the run is killed."""

from __future__ import annotations

import atexit
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def required() -> bool:
    """Whether a missing server is a failure."""
    return bool(os.environ.get("CI")) or os.environ.get("KVADMIN_TEST_REQUIRE_SERVERS") == "1"


def missing(server: str, hint: str) -> None:
    """Skip by name, or fail where the server is required."""
    if required():
        pytest.fail(f"{server} is missing here and required: {hint}")
    pytest.skip(f"{server} is missing: {hint}")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unprivileged() -> pwd.struct_passwd | None:
    """The user `nobody` when the tests run as root (some servers refuse root), else None."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def own_folder(prefix: str) -> Path:
    """A new data folder, owned by the unprivileged user when there is one, removed at exit."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    user = unprivileged()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def hand_over(*paths: Path) -> None:
    """Give files to the unprivileged user, closed to others: servers refuse keys that anyone can read."""
    user = unprivileged()
    for path in paths:
        path.chmod(0o600)
        if user is not None:
            os.chown(path, user.pw_uid, user.pw_gid)


def identity() -> dict[str, object]:
    """Keyword arguments for subprocess that drop root."""
    user = unprivileged()
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def run(argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
    """Run a set-up command to its end as the unprivileged user; its output is in the error when it fails."""
    done = subprocess.run(
        [str(part) for part in argv],
        env=_environment(env),
        capture_output=True,
        text=True,
        cwd="/",
        timeout=120,
        **identity(),  # type: ignore[call-overload]
    )
    if done.returncode:
        raise AssertionError(f"{argv[0]} failed ({done.returncode}): {done.stdout[-2000:]}{done.stderr[-2000:]}")


class Child:
    """One server process with its log; `stop` ends it and waits."""

    def __init__(
        self,
        argv: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        end_with: signal.Signals = signal.SIGTERM,
        drop_root: bool = True,
    ) -> None:
        self.log = log
        self.end_with = end_with
        death = signal.SIGQUIT if end_with is signal.SIGINT else signal.SIGKILL
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(part) for part in argv],
                env=_environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
                preexec_fn=lambda: _LIBC.prctl(_PR_SET_PDEATHSIG, int(death)),
                **(identity() if drop_root else {}),  # type: ignore[call-overload]
            )
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def wait_until(self, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Poll until the server answers; its log is in the error when it does not."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                state = f"ended with {self.process.returncode}" if self.process.returncode is not None else f"not ready in {seconds} s"
                self.stop()
                raise AssertionError(f"{self.process.args[0]} {state}:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def stop(self, seconds: float = 20) -> None:
        """End it by its own pid, the polite way first. Safe to call twice."""
        if self.process.poll() is None:
            self.process.send_signal(self.end_with)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """A plain environment: nothing of the caller's settings reaches a server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": "/nonexistent", "TZ": "UTC", **(extra or {})}
