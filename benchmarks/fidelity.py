"""What a list shows of a key leads back to exactly that key: links, labels and bytes of a million keys.

    python -m benchmarks.fidelity [--rows 1000000]

wrong links      links and form values that do not open to the bytes of their key
wrong bytes      lines of bytes that are not the bytes of the key (of long ones: its first 64)
shared labels    keys whose label is also another key's: the same subject in two windows or classes
collisions       keys whose label, class and line of bytes are together those of another key: nobody could tell them apart
as text          keys that a tool which decodes them as UTF-8 would show as some other key, for comparison
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

import django

from benchmarks import fill
from stores.backends.sqlite import SQLiteBackend
from stores.types import Entry

VERSION: Final = "0.11"


@dataclass
class Fidelity:
    """Counts over all keys; see the module."""

    keys: int = 0
    wrong_links: int = 0
    wrong_bytes: int = 0
    shared_labels: int = 0
    collisions: int = 0
    as_text: int = 0


def entries(path: Path) -> Iterator[Entry]:
    """Every key of a SQLite store."""
    with SQLiteBackend({"path": str(path)}, version=VERSION) as backend:
        cursor = None
        while True:
            page = backend.scan(cursor=cursor, limit=1000)
            yield from page.entries
            cursor = page.next
            if cursor is None:
                return


def look(found: Iterable[Entry]) -> Fidelity:
    """Draw each key as a list does and go back from what it shows. Holds a digest of each key's texts, some 250 bytes a key."""
    from stores.services.keytokens import key_of, token_of
    from stores.services.rows import row_of
    from stores.templatetags.kv_bytes import LINE_BYTES, key_title, keyline, link_key

    seen = Fidelity()
    labels, shown, texts = set[bytes](), set[bytes](), set[bytes]()
    now = time.time()
    for entry in found:
        row = row_of(entry, VERSION, "data", now)
        label, line = str(key_title(row)), keyline(row)
        seen.keys += 1
        seen.wrong_links += key_of(token_of(link_key(row))) != entry.key
        if not row.decoded.secret_key and entry.key:
            seen.wrong_bytes += bytes.fromhex(line.partition("…")[0]) != entry.key[:LINE_BYTES]
        seen.shared_labels += _again(labels, label)
        # a hidden code is told apart by its link alone: its bytes are not to be shown
        seen.collisions += not row.decoded.secret_key and _again(shown, f"{label}\0{row.decoded.title}\0{line}")
        seen.as_text += _again(texts, entry.key.decode(errors="replace"))
    return seen


def _again(known: set[bytes], text: str) -> bool:
    """Whether the text was there before; it is now."""
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=12).digest()
    if digest in known:
        return True
    known.add(digest)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvadmin.settings_test")
    django.setup()
    with tempfile.TemporaryDirectory(prefix="kvadmin-fidelity-") as folder:
        path = Path(folder) / "store.db"
        fill.fill_sqlite(path, fill.rows(options.rows, int(time.time())))
        began = time.monotonic()
        found = look(entries(path))
        print(f"{found.keys:,} keys in {time.monotonic() - began:.0f} s")
    for name in ("wrong_links", "wrong_bytes", "shared_labels", "collisions", "as_text"):
        print(f"{name.replace('_', ' '):16} {getattr(found, name):10,}")
    return 1 if found.wrong_links or found.wrong_bytes or found.collisions else 0


if __name__ == "__main__":
    sys.exit(main())
