"""A real `up` as a child process, for tests: started on a free port with its own data folder, ended by pid."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kvadmin.children import die_with_parent
from tests.fixtures_path import ROOT

LONGEST_START = 120.0


def clean_environment(**extra: str) -> dict[str, str]:
    """The environment without any setting of kvadmin's or Django's, plus the given ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KVADMIN_", "DJANGO_"))}
    return {**kept, "KVADMIN_TIME_ZONE": "UTC", **extra}


def manage(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `manage.py` to its end."""
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=clean_environment(**extra), capture_output=True, text=True, timeout=LONGEST_START, check=False)


def wait_for(condition: Callable[[], Any], longest: float, what: str) -> Any:
    """The first truthy answer of the condition; AssertionError after `longest` seconds."""
    end = time.monotonic() + longest
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"after {longest:.0f} s: {what}"
        time.sleep(0.03)


class RunningUp:
    """`manage.py up` on a free port; it ends with the thread that started it, also when the test run is killed."""

    def __init__(self, data_dir: Path, *arguments: str, **extra: str) -> None:
        self.data_dir = data_dir
        data_dir.parent.mkdir(parents=True, exist_ok=True)
        self._out, self._err = data_dir.parent / f"{data_dir.name}.out", data_dir.parent / f"{data_dir.name}.err"
        command = [sys.executable, str(ROOT / "manage.py"), "up", "--port", "0", "--data-dir", str(data_dir), *arguments]
        with self._out.open("w") as out, self._err.open("w") as err:
            parent = os.getpid()
            self.process = subprocess.Popen(
                command,
                env=clean_environment(**extra),
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGTERM, parent),
            )

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def log(self) -> str:
        return self._err.read_text()

    def wait_ready(self) -> str:
        """The URL that `READY` names."""

        def ready() -> re.Match[str] | None:
            assert self.process.poll() is None, f"up ended: {self.log}"
            return re.search(r"^READY (http://\S+)$", self.output, re.MULTILINE)

        try:
            self.url = str(wait_for(ready, LONGEST_START, "no READY line")[1])
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output}\n{self.log}") from None
        return self.url

    def status(self) -> int:
        """HTTP status of the landing page, 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url, timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def pids(self) -> Mapping[str, int | None]:
        """The present process of each program, by name."""
        content = json.loads((self.data_dir / "processes.json").read_text())
        return {name: program["pid"] for name, program in content["processes"].items()}

    def all_processes(self) -> dict[int, int]:
        """pid -> parent's pid of everything that runs on this data folder."""
        marker, found = f"KVADMIN_DATA_DIR={self.data_dir}".encode(), {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                if marker not in (folder / "environ").read_bytes().split(b"\0"):
                    continue
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except (OSError, ValueError):
                continue
            if state != "Z":
                found[int(folder.name)] = int(parent)
        return found

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send the signal to the supervisor alone; seconds until it and everything below it were gone."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout=60)
        wait_for(lambda: not self.all_processes(), 30, "processes are left")
        return time.monotonic() - began
