"""What the README says of the settings is what the code does."""

from __future__ import annotations

from kvadmin.environment import VARIABLES, Variable
from tests.fixtures_path import ROOT

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
