"""What the README says of the settings is what the code does."""

from __future__ import annotations

from kvadmin.environment import VARIABLES, Variable
from stores.registry import BACKENDS, backend_class
from tests.fixtures_path import ROOT
from tools import settings_docs

HEAD = "| Variable | Default | Accepted | What for |\n|---|---|---|---|\n"


def row(variable: Variable[object]) -> str:
    default = f"`{variable.default}`" if variable.default else variable.computed
    return f"| `{variable.name}` | {default} | {variable.form} | {variable.help} |\n"


def test_the_settings_table_is_the_codes() -> None:
    expected = HEAD + "".join(row(variable) for variable in VARIABLES)
    assert expected in (ROOT / "README.md").read_text(), f"the table has to read:\n{expected}"


def test_every_variable_says_its_default_once() -> None:
    for variable in VARIABLES:
        assert bool(variable.default) != bool(variable.computed), variable.name
        assert variable.help.endswith(".") and "|" not in variable.form + variable.help + variable.computed, variable.name
    assert len({variable.name for variable in VARIABLES}) == len(VARIABLES)


def test_the_settings_of_stores_are_those_of_the_backends() -> None:
    assert settings_docs.TARGET.read_text("utf-8") == settings_docs.render(), "run python3 tools/settings_docs.py"


def test_every_setting_of_a_store_has_help() -> None:
    silent = [(name, field.name) for name in BACKENDS for field in backend_class(name).SETTINGS if not field.help]
    assert not silent
