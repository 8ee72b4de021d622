"""Write tests/golden/<version>/rows.jsonl: one captured row of every class and kind of store, and how it reads.

    python -m tests.golden.collect

Run it when a version is added or a decoder says something else on purpose, and read the difference before committing it. Secret keys
of certificates stay out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stores.keyclasses import decode
from stores.types import Entry
from tests.fixtures_path import FIXTURES
from tests.golden.captured import entry_of, read_lines, rows_of_database

HERE = Path(__file__).parent
NOW = 1795510085
SOURCES = {
    "0.11": ("stalwart-0.11.8/sqlite/rows-extras.jsonl", "stalwart-0.11.8/sqlite/rows-live.jsonl", "stalwart-0.11.8/redis/rows-live.jsonl",
             "stalwart-0.11.8/redis/rows-extras.jsonl"),
    "0.15": ("stalwart-0.15.5/sqlite/rows-live.jsonl", "stalwart-0.15.5/redis/rows-live.jsonl"),
    "0.16": ("stalwart-0.16.18/sqlite/rows-live.jsonl", "stalwart-0.16.18/redis-cluster/rows-cluster.jsonl"),
}  # fmt: skip
OWN = ("", "sv:array", "sv:float", "sv:negint", "sv:str-never", "sv:empty", "xk.raw", "xc.neg", "sv:nul\0key")
"""User keys worth keeping, by name."""


OAUTH = (
    "49000000a202000000ffffffff08000100a277656261646d696e00281000f01a00"
    "4142434445464748494a4b4c4d4e4f505152535455565758595a6162636465666768696a6b6c6d6e"
)
SCORE = "03000000020000000000000002000000000000000000044001000000" + "0300000000000000"
MARKER = "00000000000000000000000070c81200"
WINDOW = "0000000000000005"
HANDMADE = (
    ("acme:token-1", "000000007dd15239" + b"token-1.thumbprint".hex(), None),
    ("oauth:ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn", "000000007dd15239" + OAUTH, None),
    ("oauth:ABCD-1234", "000000007dd15239" + OAUTH, None),
    (("r:203.0.113.10", WINDOW), MARKER, 3),
    (("r:nobody@example.com", WINDOW), MARKER, 2),
    (("h:2001:db8::1", WINDOW), MARKER, 1),
    (("l:203.0.113.10", WINDOW), MARKER, 4),
    (("b:203.0.113.10", WINDOW), MARKER, 5),
    (("b:john", WINDOW), MARKER, 6),
    (("contact:203.0.113.10", WINDOW), MARKER, 7),
    (("j:42", WINDOW), MARKER, 8),
    (("jreq:203.0.113.10", WINDOW), MARKER, 9),
    (("jauth:203.0.113.10", WINDOW), MARKER, 10),
    (("ireq:42", WINDOW), MARKER, 11),
    (("", "7d9d0b506ee5d0386cd962249cc4d31de9787a922ce109ee4f0daee454d7d4b5" + WINDOW), MARKER, 12),
    ("purge:42", MARKER, 1),
    ("m:note-0@example.com", "000000007dd15239", None),
    ("g:203.0.113.10.alice@good-sender.org.john@example.com", "000000007dd15239", None),
    ("g:203.0.113.10..john@example.com", "000000007dd15239", None),
    ("i:203.0.113.91", "000000007dd15239" + SCORE, None),
    ("f:news@good-sender.org", "000000007dd15239" + SCORE, None),
    ("d:good-sender.org", "000000007dd15239" + SCORE, None),
    ("a:64500", "000000007dd15239" + SCORE, None),
    (("", "26f2618d023ce89f1135e1bed4614f3d"), None, 12 << 32 | 340),
    (("", "00" * 16), None, 19 << 32 | 7),
    ("my own key", "ffffffffffffffff6869", None),
)
"""Rows of 0.10 made from the documented layout: key text with hex behind it, `m` row, number. No captured ones exist."""


def handmade() -> list[dict[str, Any]]:
    chosen: dict[object, dict[str, Any]] = {}
    for name, row, number in HANDMADE:
        text, tail = (name, "") if isinstance(name, str) else name
        line = {"key_hex": text.encode().hex() + tail, "m_value_hex": row, "counter": number}
        chosen[line["key_hex"]] = described(entry_of(line, redis=False), "0.10", "data")
    return list(chosen.values())


def collect(version: str) -> list[dict[str, Any]]:
    chosen: dict[object, dict[str, Any]] = {}
    for source in SOURCES[version]:
        redis = "redis" in source
        for row in read_lines(FIXTURES / source):
            add(chosen, entry_of(row, redis=redis), version, "redis" if redis else "data")
    if version == "0.16":
        for key, stored, number in rows_of_database(FIXTURES / "stalwart-0.16.18/sqlite/memstore-acme-http01.db"):
            row = {"key_hex": key.hex(), "m_value_hex": stored and stored.hex(), "counter": number}
            add(chosen, entry_of(row, redis=False), version, "data")
    return list(chosen.values())


def add(chosen: dict[object, dict[str, Any]], entry: Entry, version: str, store: Any) -> None:
    found = decode(entry, version, store, NOW, reveal=True)
    if found.fields.get("challenge") == "tls-alpn-01":
        return
    if found.slug is None and entry.key.decode(errors="replace") not in OWN:
        return
    names = sorted(name for name in found.fields if name in ("ip", "login", "rcpt", "form", "domain", "address"))
    place = (store, found.slug or entry.key, found.fields.get("form"), *names, len(entry.key) if "ip" in names else 0)
    if place in chosen:
        return
    chosen[place] = described(entry, version, store)


def described(entry: Entry, version: str, store: Any) -> dict[str, Any]:
    found = decode(entry, version, store, NOW, reveal=True)
    return {
        "store": store, "class": found.slug, "kind": found.kind.value, "key_hex": entry.key.hex(),
        "row_hex": None if entry.row is None else entry.row.hex(), "value_hex": None if entry.value is None else entry.value.hex(),
        "counter": entry.counter, "expires_at": entry.expires_at, "label": found.label, "value_label": found.value_label,
        "fields": dict(found.fields), "note": found.note, "editable": found.editable,
        "problem": found.problem,
    }  # fmt: skip


def main() -> None:
    for version in ("0.10", *SOURCES):
        folder = HERE / version
        folder.mkdir(exist_ok=True)
        rows = handmade() if version == "0.10" else collect(version)
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
