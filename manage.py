#!/usr/bin/env python3
"""Runs kvadmin from a checkout: makes `.venv` from the lock when it is missing or stale, then hands over to the `kvadmin` command.

    python3 manage.py up            everything: pages, worker, schedules, embedded broker
    python3 manage.py test [...]    the whole test suite (arguments go to pytest)
    python3 manage.py lock          write requirements.lock and requirements-dev.lock anew; `--check` only compares
    python3 manage.py help          all other commands

Needs nothing but Python 3.11 or later until the packages are there. Works from any folder.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

if sys.version_info < (3, 11):  # noqa: UP036  (this file is what an older Python reads first)
    sys.exit("kvadmin needs Python 3.11 or later; this is {}.{}. Run manage.py with a newer one.".format(*sys.version_info[:2]))

import fcntl
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "kvadmin-stamp.json"
LOCKS = {"runtime": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}
"""The dev lock is a superset of the runtime lock, so that one `.venv` serves both."""
PYTHON = "{}.{}".format(*sys.version_info[:2])


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "lock":
        sys.exit(lock(check="--check" in sys.argv[2:]))
    ensure_environment("dev" if command == "test" else "runtime")
    if command == "test":
        run_tests(sys.argv[2:])
    sys.path.insert(0, str(ROOT))
    from kvadmin.cli import main as kvadmin

    kvadmin()


def run_tests(arguments: "list[str]") -> None:
    """Become pytest in the checkout, with no KVADMIN_ setting of the caller's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KVADMIN_") or name.startswith("KVADMIN_TEST_")}
    environment["DJANGO_SETTINGS_MODULE"] = "kvadmin.settings_test"
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "-m", "pytest", *arguments], environment)


def ensure_environment(kind: str) -> None:
    """Return in an interpreter that has the packages: this one, or `.venv`'s after an exec."""
    if Path(sys.prefix).resolve() != VENV.resolve():
        if suitable(kind):
            return
        if not fresh(kind):
            refresh(kind)
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), str(ROOT / "manage.py"), *sys.argv[1:]])
    if not fresh(kind):
        refresh(kind)


def suitable(kind: str) -> bool:
    """Whether this interpreter, not ours, has every direct dependency in a version that pyproject.toml accepts."""
    if find_spec("django") is None:
        return False
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["dev"] if kind == "dev" else []
    return all(satisfied(requirement) for requirement in [*project["dependencies"], *extra])


def satisfied(requirement: str) -> bool:
    """Whether a requirement such as `django>=5.2,<5.3` or `redis[hiredis]>=8` is installed here."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None, requirement
    try:
        installed = numbers(metadata.version(name[0]))
    except metadata.PackageNotFoundError:
        return False
    bounds = re.findall(r"(>=|<)\s*([\w.]+)", requirement)
    return all(installed >= numbers(bound) if sign == ">=" else installed < numbers(bound) for sign, bound in bounds)


def numbers(version: str) -> "tuple[int, ...]":
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


def wanted(kind: str) -> "dict[str, str]":
    """What the stamp of a fresh environment says: Python's version and the digests of the locks that it was made from."""
    kinds = ["runtime", "dev"] if kind == "dev" else ["runtime"]
    return {"python": PYTHON, **{name: hashlib.sha256(LOCKS[name].read_bytes()).hexdigest() for name in kinds}}


def stamp() -> "dict[str, str]":
    try:
        return dict(json.loads(STAMP.read_text()))
    except (OSError, ValueError):
        return {}


def fresh(kind: str) -> bool:
    return os.access(VENV_PYTHON, os.X_OK) and wanted(kind).items() <= stamp().items()


def refresh(kind: str) -> None:
    """Make or update `.venv`; one process at a time, the others wait and find it done."""
    try:
        guard = open(ROOT / ".venv.guard", "w")  # noqa: SIM115, PTH123  (held until this process ends or becomes another)
    except OSError as error:
        sys.exit(
            f"kvadmin: .venv has to be made or updated, but {ROOT} cannot be written ({error.strerror}). Run manage.py once as its owner."
        )
    fcntl.flock(guard, fcntl.LOCK_EX)
    if fresh(kind):
        return
    if "dev" in stamp():
        kind = "dev"
    say(f"preparing .venv from {LOCKS[kind].name}; this is done once and takes about half a minute ...")
    uv = shutil.which("uv")
    if not (uv and build_with_uv(uv, kind)) and not build_with_pip(kind):
        sys.exit("kvadmin: the Python packages could not be installed; the messages above say why.")
    STAMP.write_text(json.dumps(wanted(kind)))


def usable() -> bool:
    """Whether `.venv` is a whole environment of this Python version."""
    if not os.access(VENV_PYTHON, os.X_OK):
        return False
    code = "import sys; print('{}.{}'.format(*sys.version_info[:2]))"
    result = subprocess.run([str(VENV_PYTHON), "-I", "-c", code], capture_output=True, text=True, check=False)
    return result.stdout.strip() == PYTHON


def build_with_uv(uv: str, kind: str) -> bool:
    STAMP.unlink(missing_ok=True)
    if not usable() and not succeeds([uv, "venv", "--quiet", "--clear", "--no-python-downloads", "--python", base_python(), str(VENV)]):
        return False
    return succeeds(
        [uv, "pip", "install", "--quiet", "--python", str(VENV_PYTHON), "--require-hashes", "--compile-bytecode", "-r", str(LOCKS[kind])]
    )


def build_with_pip(kind: str) -> bool:
    STAMP.unlink(missing_ok=True)
    pip = [str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    if not usable() or subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        if find_spec("venv") is None or find_spec("ensurepip") is None:
            sys.exit(
                "kvadmin: this Python has no venv module, which is needed to install kvadmin's packages. "
                f"On Debian and Ubuntu:\n    apt install python{PYTHON}-venv"
            )
        if not succeeds([base_python(), "-m", "venv", "--clear", str(VENV)]):
            return False
    return succeeds([*pip, "install", "--quiet", "--require-hashes", "-r", str(LOCKS[kind])])


def base_python() -> str:
    """The interpreter outside any virtual environment."""
    return getattr(sys, "_base_executable", "") or sys.executable


def succeeds(command: "list[str]") -> bool:
    return subprocess.run(command, check=False, stdout=sys.stderr).returncode == 0


def lock(check: bool) -> int:
    """Resolve pyproject.toml into both lock files: versions and hashes, no host names. 0 done or up to date, 1 not."""
    uv = shutil.which("uv") or str(VENV / "bin" / "uv")
    if not Path(uv).exists():
        ensure_environment("dev")
        uv = str(Path(sys.prefix) / "bin" / "uv")
    stale = []
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        for kind, path in LOCKS.items():
            new = Path(folder) / path.name
            if path.exists():
                shutil.copy(path, new)
            if not succeeds([*compile_command(uv), *(["--extra", "dev"] if kind == "dev" else []), "-o", str(new)]):
                return 1
            if not path.exists() or new.read_bytes() != path.read_bytes():
                stale.append(path.name)
                if not check:
                    shutil.copy(new, path)
    if check and stale:
        say(f"{' and '.join(stale)} are behind pyproject.toml: run python3 manage.py lock")
        return 1
    say(f"{'written' if stale else 'up to date'}: {', '.join(path.name for path in LOCKS.values())}")
    return 0


def compile_command(uv: str) -> "list[str]":
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header", "--quiet"]
    return [uv, "pip", "compile", *options, "pyproject.toml"]


def say(text: str) -> None:
    print(f"kvadmin: {text}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
