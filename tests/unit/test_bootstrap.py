"""`manage.py` before the packages are there: which environment is fresh, suitable, or has to be made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.fixtures_path import ROOT
from tests.running_up import clean_environment


@pytest.fixture
def manage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A copy of manage.py in its own small checkout, without any `.venv`."""
    for name in ("manage.py", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    spec = spec_from_file_location("manage_under_test", tmp_path / "manage.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_suitable_environment_is_used_as_it_is(tmp_path: Path) -> None:
    for name in ("manage.py", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("kvadmin", "stores"):
        (tmp_path / name).symlink_to(ROOT / name)
    result = subprocess.run(
        [sys.executable, str(tmp_path / "manage.py"), "help"],
        env=clean_environment(KVADMIN_DATA_DIR=str(tmp_path / "data")),
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "migrate" in result.stdout
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("django>=5.2,<5.3", True),
        ("django>=5.2,<5.2.1", False),
        ("django>=6", False),
        ("redis[hiredis]>=8.0", True),
        ("no-such-package-anywhere>=1", False),
    ],
)
def test_requirements_are_compared_with_what_is_installed(manage: ModuleType, requirement: str, expected: bool) -> None:
    assert manage.satisfied(requirement) is expected


def test_an_environment_is_fresh_while_its_stamp_fits_the_locks(manage: ModuleType) -> None:
    assert not manage.fresh("runtime")
    manage.VENV_PYTHON.parent.mkdir(parents=True)
    manage.VENV_PYTHON.symlink_to(sys.executable)
    manage.STAMP.write_text(json.dumps(manage.wanted("runtime")))
    assert manage.fresh("runtime") and not manage.fresh("dev")
    manage.STAMP.write_text(json.dumps(manage.wanted("dev")))
    assert manage.fresh("runtime") and manage.fresh("dev")
    manage.LOCKS["runtime"].write_text("changed")
    assert not manage.fresh("runtime") and not manage.fresh("dev")
    manage.STAMP.write_text("{ broken")
    assert not manage.fresh("runtime")


def test_a_python_without_venv_gets_the_one_line_that_helps(manage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manage, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as refused:
        manage.build_with_pip("runtime")
    assert f"apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in str(refused.value)


def test_an_environment_that_was_for_tests_stays_one(manage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def build(kind: str) -> bool:
        made.append(kind)
        return True

    manage.VENV_PYTHON.parent.mkdir(parents=True)
    manage.STAMP.write_text(json.dumps({"python": "3.11", "runtime": "old", "dev": "old"}))
    monkeypatch.setattr(manage.shutil, "which", lambda name: None)
    monkeypatch.setattr(manage, "build_with_pip", build)
    manage.refresh("runtime")
    assert made == ["dev"]
    assert manage.stamp() == manage.wanted("dev")


def test_a_failed_installation_ends_without_a_stamp(manage: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manage.shutil, "which", lambda name: None)
    monkeypatch.setattr(manage, "build_with_pip", lambda kind: False)
    with pytest.raises(SystemExit):
        manage.refresh("runtime")
    assert not manage.STAMP.exists()
