"""In every transaction the audit comes last: whoever holds its lock waits for no other row, so two acts cannot wait for each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.fixtures_path import ROOT

WRITES = {"append", "record", "settle", "settle_all", "refused"}
CHANGES = {
    "save", "create", "update", "delete", "bulk_create", "bulk_update", "update_or_create", "get_or_create", "select_for_update",
    "insert_all", "note_replacements", "sync", "remove", "execute",
}  # fmt: skip
ITSELF = {"audit_chain.py", "audit_prune.py"}
"""They write the chain's own tables, whose lock they hold."""


def transactions(tree: ast.AST) -> Iterator[ast.With]:
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and any(called(item.context_expr) == "atomic" for item in node.items):
            yield node


def called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""


def is_audit(node: ast.AST) -> bool:
    """`audit.record(...)` and its like."""
    func = node.func if isinstance(node, ast.Call) else None
    return called(node) in WRITES and isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id == "audit"


def calls(statement: ast.stmt) -> list[ast.Call]:
    found = [node for node in ast.walk(statement) if isinstance(node, ast.Call)]
    return sorted(found, key=lambda call: (call.lineno, call.col_offset))


def late_changes(source: str) -> Iterator[str]:
    """Line and call of what is changed after an entry was written."""
    for block in transactions(ast.parse(source)):
        written = False
        for statement in block.body:
            for call in calls(statement):
                if written and called(call) in CHANGES:
                    yield f"{call.lineno}: {called(call)}"
                written = written or is_audit(call)


def test_nothing_is_changed_after_an_entry_in_the_same_transaction() -> None:
    files = [path for folder in ("stores", "kvadmin") for path in (ROOT / folder).rglob("*.py") if path.name not in ITSELF]
    assert sum(len(list(transactions(ast.parse(path.read_text())))) for path in files) > 30
    assert not [f"{path.relative_to(ROOT)}:{late}" for path in files for late in late_changes(path.read_text())]


def test_the_check_sees_a_change_that_comes_too_late() -> None:
    late = "with transaction.atomic():\n    audit.record(actor, 'x')\n    if rule:\n        rule.delete()\n"
    right = "with transaction.atomic():\n    rule.delete()\n    audit.record(actor, 'x')\nrule.save()\n"
    assert list(late_changes(late)) == ["4: delete"] and not list(late_changes(right))
