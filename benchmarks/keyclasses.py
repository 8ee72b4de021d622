"""How fast keys are classified and decoded, on the golden rows of this repository.

python -m benchmarks.keyclasses
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from stores.codecs.rows import entry_from_rows
from stores.keyclasses import classify, decode
from stores.types import Entry

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
NOW = 1_795_510_085.0
KEYS = 300_000


def rows(version: str) -> list[Entry]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in (GOLDEN / version / "rows.jsonl").read_text().splitlines()]
    return [
        entry_from_rows(bytes.fromhex(line["key_hex"]), bytes.fromhex(line["row_hex"]) if line["row_hex"] else None, line["counter"])
        for line in lines
        if line["store"] == "data"
    ]


def main() -> None:
    for version in ("0.11", "0.15", "0.16"):
        entries = rows(version)
        rounds = KEYS // len(entries)
        start = time.perf_counter()
        for _ in range(rounds):
            for entry in entries:
                classify(entry.key, version, entry.kind)
        classified = (time.perf_counter() - start) / (rounds * len(entries))
        start = time.perf_counter()
        for _ in range(rounds // 20):
            for entry in entries:
                decode(entry, version, "data", NOW)
        decoded = (time.perf_counter() - start) / (rounds // 20 * len(entries))
        print(f"{version}: classify {classified * 1e6:.2f} µs a key, decode {decoded * 1e5:.2f} ms a page of 100")


if __name__ == "__main__":
    main()
