"""The supervisor with small real processes: restarts, output, and ends that cannot be dodged."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kvadmin import supervisor
from kvadmin.children import BACKGROUND_NICE
from kvadmin.supervisor import Program, Supervisor
from tests.fixtures_path import ROOT
from tests.running_up import wait_for


@pytest.fixture
def output() -> io.BytesIO:
    return io.BytesIO()


@pytest.fixture
def watched(output: io.BytesIO, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    monkeypatch.setattr(supervisor, "HURRY_AFTER", 0.3)
    monkeypatch.setattr(supervisor, "KILL_AFTER", 0.6)
    running = Supervisor(output=output)
    yield running
    running.stop()


def python(name: str, code: str, folder: Path, *, last: bool = False) -> Program:
    return Program(name, [sys.executable, "-u", "-c", code], folder, last=last)


def step_until(watched: Supervisor, reached: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    assert watched.run(lambda: bool(reached()) or time.monotonic() > end, pause=0.02)
    assert reached()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_output_is_prefixed_line_by_line_and_masked(watched: Supervisor, output: io.BytesIO, tmp_path: Path) -> None:
    code = "import sys; print('one'); print('redis://:hidden@host/0', file=sys.stderr); sys.stdout.write('no newline'); sys.stdout.flush()"
    watched.start(python("talk", code, tmp_path))
    step_until(watched, lambda: b"no newline" in output.getvalue())
    lines = output.getvalue().decode().splitlines()
    assert "talk    | one" in lines and "talk    | no newline" in lines
    assert "hidden" not in output.getvalue().decode()


def test_a_child_that_ends_is_started_again_with_growing_pauses(
    watched: Supervisor, output: io.BytesIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_BACKOFF", 0.4)
    child = watched.start(python("brief", "raise SystemExit(7)", tmp_path))
    child.backoff = 0.05
    pauses = []

    def third_end() -> bool:
        if child.backoff not in pauses:
            pauses.append(child.backoff)
        return child.restarts >= 4

    step_until(watched, third_end)
    assert pauses == sorted(pauses) and pauses[-1] == 0.4
    assert "brief ended (exit code 7)" in output.getvalue().decode()


def test_a_killed_child_is_named_with_its_signal(watched: Supervisor, output: io.BytesIO, tmp_path: Path) -> None:
    child = watched.start(python("sleeper", "import time; time.sleep(60)", tmp_path))
    first = child.process
    assert first is not None
    first.kill()
    step_until(watched, lambda: child.process is None)
    child.due_at = 0
    step_until(watched, lambda: child.process is not None and child.process.pid != first.pid)
    assert "killed by SIGKILL" in output.getvalue().decode()


def test_stop_ends_even_what_ignores_sigterm_and_its_children(watched: Supervisor, output: io.BytesIO, tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGQUIT, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('child', child.pid)\ntime.sleep(60)\n"
    )
    child = watched.start(python("stubborn", code, tmp_path))
    assert child.process is not None
    pid = child.process.pid
    step_until(watched, lambda: b"child " in output.getvalue())
    grandchild = int(output.getvalue().decode().split("child ")[1].split()[0])
    began = time.monotonic()
    watched.stop()
    assert time.monotonic() - began < 5
    assert gone(pid)
    wait_for(lambda: gone(grandchild), 5, "the grandchild lives on")


def test_last_programs_end_after_all_others(watched: Supervisor, output: io.BytesIO, tmp_path: Path) -> None:
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit()))\nprint('up')\ntime.sleep(60)\n"
    watched.start(python("queue", code, tmp_path, last=True))
    watched.start(python("worker", code, tmp_path))
    step_until(watched, lambda: output.getvalue().count(b"| up") == 2)
    watched.stop()
    lines = output.getvalue().decode().splitlines()
    assert lines.index("worker  | bye") < lines.index("queue   | bye")


def test_children_of_a_killed_supervisor_end(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom kvadmin.supervisor import Program, Supervisor\n"
        "running = Supervisor()\n"
        "child = running.start(Program('sleeper', [sys.executable, '-c', 'import time; time.sleep(60)'], Path('.')))\n"
        "print(child.process.pid, flush=True)\nrunning.run()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not gone(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: gone(pid), 5, "the child lives on")


def test_a_program_that_cannot_be_run_is_an_error(watched: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        watched.start(Program("nothing", [str(tmp_path / "missing")], tmp_path))


def test_background_work_lets_others_go_first() -> None:
    script = (
        "import os; from pathlib import Path; from kvadmin.children import step_back; step_back(); step_back()\n"
        "group = Path('/proc/self/autogroup')\n"
        "print(os.getpriority(os.PRIO_PROCESS, 0), group.read_text().split()[-1] if group.exists() else 'none')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, start_new_session=True)
    mine, group = done.stdout.split()
    assert int(mine) == max(BACKGROUND_NICE, os.getpriority(os.PRIO_PROCESS, 0)) and group in ("none", str(BACKGROUND_NICE))
