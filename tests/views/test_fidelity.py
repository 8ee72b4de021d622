"""What a list shows of a key leads back to exactly that key, whatever bytes it is made of."""

from __future__ import annotations

import random
import time
from pathlib import Path

from benchmarks import fill
from benchmarks.fidelity import entries, look


def test_links_labels_and_bytes_lead_back_to_the_key(tmp_path: Path) -> None:
    now = int(time.time())
    source = random.Random(7)
    lookalikes = [
        b"",
        b"\xff",
        b"\xfe",
        b"a\xff",
        b"a\xfe",
        b"\x05\x00\x00\x00:",
        b"\x05\x00\x00\x00;",
        b"vip:",
        b"vip/",
        b" a",
        b"a ",
        b"\x00a",
    ]
    lookalikes += [b"\x06" + source.randbytes(36) for _ in range(300)] + [
        source.randbytes(length) for length in range(1, 64) for _ in range(5)
    ]
    extra: list[fill.Row] = [(key, fill.NEVER + b"x", None) for key in dict.fromkeys(lookalikes)]
    fill.fill_sqlite(tmp_path / "store.db", [*fill.rows(4000, now), *extra])
    found = look(entries(tmp_path / "store.db"))
    assert found.keys >= 4000 + len(extra) - 5
    assert (found.wrong_links, found.wrong_bytes, found.collisions) == (0, 0, 0)
    assert found.as_text > 0, "the rows are too tame: read as text none of them is mistaken for another"
