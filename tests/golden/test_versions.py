"""The golden rows of each version read as they did when they were last looked at (see collect.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stores.keyclasses import build_key, classify, decode
from stores.types import Kind
from tests.golden.captured import entry_of, read_lines
from tests.golden.collect import NOW

HERE = Path(__file__).parent
VERSIONS = ("0.10", "0.11", "0.15", "0.16")
ROWS = [(version, row) for version in VERSIONS for row in read_lines(HERE / version / "rows.jsonl")]


IDS = [f"{version}-{row['store']}-{row['class']}-{row['key_hex'][:24]}" for version, row in ROWS]


@pytest.mark.parametrize(("version", "row"), ROWS, ids=IDS)
def test_golden_row(version: str, row: dict[str, Any]) -> None:
    redis = row["store"] == "redis"
    line = {**row, "m_value_hex": row["row_hex"], "expires_unix": row["expires_at"]}
    entry = entry_of(line, redis=redis)
    found = decode(entry, version, row["store"], NOW, reveal=True)
    assert found.slug == row["class"]
    assert found.kind is Kind(row["kind"])
    assert (found.label, found.value_label, found.note, found.problem) == (row["label"], row["value_label"], row["note"], row["problem"])
    assert dict(found.fields) == row["fields"]
    assert found.editable == row["editable"]
    assert found.unverified is (version == "0.10")
    assert classify(entry.key, version, entry.kind) == (row["class"], found.kind)
    if found.slug is not None:
        assert build_key(found.slug, found.fields, version) == entry.key


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_has_rows_of_both_kinds_of_store(version: str) -> None:
    stores = {row["store"] for golden, row in ROWS if golden == version}
    assert stores == ({"data"} if version == "0.10" else {"data", "redis"})
