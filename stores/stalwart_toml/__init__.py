"""Stalwart's configuration files: its TOML dialect, 0.16's JSON, and plans of what they say about lookup stores."""

from stores.stalwart_toml.asked import LOOKUP_SETTINGS, VERSION_HINTS, is_used, tells_version
from stores.stalwart_toml.merge import is_local, merge_settings
from stores.stalwart_toml.parser import parse
from stores.stalwart_toml.plan import ImportPlan, Limit, PlannedStore, Problem, Severity, Skipped
from stores.stalwart_toml.reading import read, read_table, source_lines
from stores.stalwart_toml.source import Mark, SourceLine
from stores.stalwart_toml.writer import Written, write, write_schedule

__all__ = [
    "LOOKUP_SETTINGS",
    "VERSION_HINTS",
    "ImportPlan",
    "Limit",
    "Mark",
    "PlannedStore",
    "Problem",
    "Severity",
    "Skipped",
    "SourceLine",
    "Written",
    "is_local",
    "is_used",
    "merge_settings",
    "parse",
    "read",
    "read_table",
    "source_lines",
    "tells_version",
    "write",
    "write_schedule",
]
