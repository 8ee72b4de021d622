"""Rules of the repository that a machine can check."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from tests.fixtures_path import ROOT

HOSTS = (
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "registry.npm" + "js",
    "deb." + "debian.org",
    "crates" + ".io",
    "cdn." + "jsdelivr",
    "unpkg" + ".com",
    "cdnjs." + "cloudflare",
    "fonts." + "googleapis",
)


def tracked() -> list[Path]:
    """Files that git knows; every file of interest in an unpacked archive."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        skipped = {".venv", "data", "node_modules", "__pycache__", ".git"}
        return [path for path in ROOT.rglob("*") if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)]
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in tracked():
        raw = path.read_bytes()
        if b"\0" not in raw[:8192]:
            found.append((str(path.relative_to(ROOT)), raw.decode(errors="replace")))
    assert len(found) > 50
    return found


def test_no_file_names_a_registry_or_cdn() -> None:
    named = [(name, host) for name, text in texts() for host in HOSTS if host in text]
    assert not named


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:work|home/[a-z]+|Users)/\w+")
    named = [(name, found[0]) for name, text in texts() if (found := pattern.search(text)) and not name.endswith((".tsv", ".toml"))]
    assert not named


def test_nothing_is_left_unfinished() -> None:
    marker = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b")
    named = [(name, found[0]) for name, text in texts() if name.endswith(".py") and (found := marker.search(text))]
    assert not named


def test_vendored_files_are_the_ones_that_are_listed() -> None:
    folder = ROOT / "static" / "vendor"
    listed = {}
    for line in (folder / "VENDOR.tsv").read_text().splitlines()[1:]:
        name, digest, package, version, licence = line.split("\t")[:5]
        assert package and version and licence, line
        listed[name] = digest
    present = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "VENDOR.tsv"
    }
    assert present == listed


def test_the_import_layers_hold() -> None:
    script = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    checked = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", checked.stdout), checked.stdout


@pytest.mark.django_db
def test_the_migrations_are_complete() -> None:
    from django.core.management import call_command

    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_the_deploy_check_is_clean(tmp_path: Path) -> None:
    from tests.running_up import manage

    checked = manage("check", "--deploy", "--fail-level", "WARNING", KVADMIN_DATA_DIR=str(tmp_path / "data"), KVADMIN_HTTPS="on")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(("kind", "extra"), [("runtime", ""), ("dev", "dev")])
def test_the_locks_cover_every_dependency_in_an_accepted_version(kind: str, extra: str) -> None:
    spec = spec_from_file_location("manage_of_the_checkout", ROOT / "manage.py")
    assert spec is not None and spec.loader is not None
    manage = module_from_spec(spec)
    spec.loader.exec_module(manage)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = dict(re.findall(r"^([\w.-]+)==([\w.]+)", manage.LOCKS[kind].read_text(), re.MULTILINE))
    for requirement in [*project["dependencies"], *(project["optional-dependencies"][extra] if extra else [])]:
        name, bounds = re.match(r"([\w.-]+)", requirement)[1].lower(), re.findall(r"(>=|<)\s*([\w.]+)", requirement)  # type: ignore[index]
        assert name in locked, f"{name} is not in {manage.LOCKS[kind].name}: run manage.py lock"
        for sign, bound in bounds:
            version, limit = manage.numbers(locked[name]), manage.numbers(bound)
            assert version >= limit if sign == ">=" else version < limit, requirement


def test_the_dev_lock_is_a_superset_of_the_runtime_lock() -> None:
    pattern = re.compile(r"^([\w.-]+==[\w.]+)", re.MULTILINE)
    runtime, dev = (set(pattern.findall((ROOT / name).read_text())) for name in ("requirements.lock", "requirements-dev.lock"))
    assert runtime and runtime <= dev
