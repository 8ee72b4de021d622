"""The options file that tells RocksDB how to read Stalwart's column families.

Stalwart's counters are kept with a merge operator that adds little-endian signed 64-bit numbers. RocksDB's built-in `uint64add`
gives the same bytes and can be named in an options file; without it a walk over counters ends at the first pending addition.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

COUNTER_FAMILIES: Final = frozenset({"n", "u", "y"})
"""Column families that take additions in any version (store-formats a.4)."""


def options_text(families: Iterable[str], log_folder: str) -> str:
    """An options file for these column families. Nothing compacts by itself, and logs go to a folder of ours.

    `log_folder`: an absolute path without line breaks.
    """
    lines = [
        "[Version]",
        "  rocksdb_version=9.8.4",
        "  options_file_version=1.1",
        "[DBOptions]",
        "  max_open_files=-1",
        "  create_if_missing=false",
        "  create_missing_column_families=false",
        "  info_log_level=WARN_LEVEL",
        "  keep_log_file_num=1",
        f"  db_log_dir={log_folder}",
    ]
    for family in families:
        lines.append(f'[CFOptions "{family}"]')
        lines.append("  disable_auto_compactions=true")
        if family in COUNTER_FAMILIES:
            lines.append("  merge_operator=uint64add")
        lines.append(f'[TableOptions/BlockBasedTable "{family}"]')
    return "\n".join(lines) + "\n"
