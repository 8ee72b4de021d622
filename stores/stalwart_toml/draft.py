"""The plan while it is being made: values with references resolved, what has been used, and what there is to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from stores.stalwart_toml.document import Document, Fault
from stores.stalwart_toml.macros import Macros
from stores.stalwart_toml.options import Option, checked, has_macro
from stores.stalwart_toml.plan import PlannedStore, Problem, Severity, Skipped

MAX_PROBLEMS: Final = 500


class Draft:
    """Collects stores and remarks from the settings of one document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.settings = document.settings
        self.problems: list[Problem] = [_fault(fault) for fault in document.faults]
        self.used: set[str] = set()
        self.stores: dict[str, PlannedStore] = {}
        self.skipped: list[Skipped] = []
        self._macros = Macros(document.settings, self._macro_problem)

    def text(self, key: str) -> str:
        """The value of a setting that exists; it counts as used."""
        self.used.add(key)
        return self._macros.value(key)

    def known(self, key: str) -> str:
        """The value when it is there and does not depend on an environment variable or a file, else empty and reported."""
        if key not in self.settings:
            return ""
        value = self.text(key).strip()
        if not has_macro(value) or self.settings[key].from_database:
            return value
        self.report(
            Severity.ERROR,
            f"{key} is only known when Stalwart starts: it names an environment variable or a file.",
            "Write the value itself for the import.",
            key=key,
        )
        return ""

    def option(self, store_id: str, key: str, option: Option) -> str:
        """A setting's value as it is kept for the store; empty, and reported, when Stalwart would not take it."""
        value, wrong = checked(option, self.text(key))
        if wrong:
            self.report(
                Severity.WARNING,
                f'{option.name} "{self.text(key)[:40]}" {wrong}.',
                f"Stalwart does not take it either and uses {option.default or 'none'}; it is left out here.",
                key=key,
                store=store_id,
            )
        return value

    def report(self, severity: Severity, message: str, fix: str = "", *, key: str = "", store: str = "", line: int = 0) -> None:
        """Add a remark, at the line of `key` when no other is given."""
        if len(self.problems) < MAX_PROBLEMS:
            place = line or (self.settings[key].line if key in self.settings else 0)
            self.problems.append(Problem(severity, message, fix, key=key, line=place, start_line=place, end_line=place, store=store))

    def skip(self, store_id: str, type_name: str, reason: str, key: str) -> None:
        """Name a store that is left out on purpose."""
        self.skipped.append(Skipped(store_id, type_name, reason, self.settings[key].line))

    def lines(self, keys: Iterable[str]) -> tuple[int, int]:
        """First and last line of these settings."""
        found = [line for key in keys if (line := self.settings[key].line)]
        return (min(found), max(found)) if found else (0, 0)

    def sorted_problems(self) -> tuple[Problem, ...]:
        """Remarks by line, those on the whole file first, each once."""
        return tuple(sorted(dict.fromkeys(self.problems), key=lambda problem: (problem.line, problem.column)))

    def unused(self) -> dict[str, int]:
        """Settings that nothing above has used: first part of the name -> how many."""
        return dict(sorted(Counter(key.partition(".")[0] for key in self.settings if key not in self.used).items()))

    def _macro_problem(self, key: str, what: str) -> None:
        self.report(Severity.ERROR, f"The value of {key} is incomplete: {what}.", "Write the value itself.", key=key)


def _fault(fault: Fault) -> Problem:
    message = f"{fault.message} It was read as if the key were in quotes." if fault.repaired else fault.message
    return Problem(
        Severity.NOTE if fault.repaired else Severity.ERROR,
        message,
        "" if fault.repaired else fault.fix,
        line=fault.line,
        column=fault.column,
        start_line=fault.start_line,
        end_line=fault.end_line,
        repairs=fault.repairs,
        repaired=fault.repaired,
    )
