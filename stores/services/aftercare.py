"""What a database needs after many of its rows have gone: said after large purges, done by whoever runs the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stores.models import Run, RunAction
from stores.texts import say

LARGE: Final = 100_000
"""Keys removed by one run."""

_WORDS: Final[Mapping[str, str]] = {
    "sqlite": say(
        "SQLite keeps the space that became free inside its file and uses it again; nothing has to be done. "
        "To make the file smaller, stop Stalwart and run VACUUM on it: that locks the file and needs as much free space again."
    ),
    "postgresql": say(
        "Autovacuum makes the space usable again within minutes; VACUUM (ANALYZE) does it at once and is safe while Stalwart runs. "
        "VACUUM FULL locks the tables: only in a maintenance window."
    ),
    "mysql": say(
        "InnoDB uses the space again by itself. OPTIMIZE TABLE gives it back to the disk: it rebuilds the table beside the old one, "
        "needs as much free space, and writes wait at its end."
    ),
    "rocksdb": say(
        "RocksDB drops the rows for good at its next compaction, which comes by itself with new writes; until then the folder may even "
        "be a little larger."
    ),
}


def aftercare(run: Run) -> str:
    """One or two sentences; empty where a run was small or the store needs nothing."""
    if run.action != RunAction.PURGE or run.store is None or run.removed < LARGE:
        return ""
    return _WORDS.get(run.store.type, "")
