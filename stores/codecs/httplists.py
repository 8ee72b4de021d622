"""Lists and CSV tables that the server pulls over HTTP: their options, and the pure parsing of what comes (store-formats e.5).

list    each trimmed non-empty line is a key with the value 1; there are no comments
csv     the cell `index.key` is the key, the cell `index.value` the value, 1 when it is empty or not asked for; `"` switches quoting on
        and off, a backslash takes the next character as it is; rows without a key are skipped, cells are cut at `limits.entry-size`

Keys match exactly, letter case counts. Of two rows with one key the later wins. Bytes that are not UTF-8 become U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from stores.codecs.options import seconds, switch, whole_number
from stores.errors import BadConfig
from stores.texts import say

LONGEST_LINE: Final = 65_536
"""Bytes of a line that are kept; the rest of a longer one is dropped. Not the server's limit, which has none."""
_HUGE: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """The options of one `http-lookup.<id>`; times in seconds, sizes in bytes."""

    url: str
    csv: bool
    key_index: int = 0
    value_index: int | None = None
    separator: str = ","
    skip_first: bool = False
    gzipped: bool = False
    retry: float = 3600.0
    refresh: float = 43_200.0
    timeout: float = 30.0
    max_size: int = 104_857_600
    max_entries: int = 100_000
    max_entry_size: int = 512
    enabled: bool = True
    allow_private: bool = False
    """kvadmin's own: whether the URL may lead into this machine or a private network."""


def parse_options(settings: Mapping[str, str]) -> HttpOptions:
    """The options by Stalwart's names. Raises BadConfig that names the option."""

    def get(name: str) -> str:
        return settings.get(name, "").strip()

    url = get("url")
    if not url.lower().startswith(("http://", "https://")):
        raise BadConfig(say("The URL of the list is missing, or not one of http or https."), say("Write https://..."), "url")
    form = get("format").lower()
    if form not in ("list", "csv"):
        raise BadConfig(say("The format has to be list or csv."), say("Choose one."), "format")
    if form == "csv" and not get("index.key"):
        raise BadConfig(say("A csv lookup needs the column of the key."), say("Count columns from 0."), "index.key")
    separator = settings.get("separator", "")
    return HttpOptions(
        url=url,
        csv=form == "csv",
        key_index=whole_number("index.key", get("index.key"), 0, 0, 10_000),
        value_index=whole_number("index.value", get("index.value"), 0, 0, 10_000) if get("index.value") else None,
        separator=separator[:1] or ",",
        skip_first=switch("skip-first", get("skip-first")),
        gzipped=switch("gzipped", get("gzipped")),
        retry=seconds("retry", get("retry"), 3600.0),
        refresh=seconds("refresh", get("refresh"), 43_200.0),
        timeout=seconds("timeout", get("timeout"), 30.0),
        max_size=whole_number("limits.size", get("limits.size"), 104_857_600, 1, _HUGE),
        max_entries=whole_number("limits.entries", get("limits.entries"), 100_000, 1, _HUGE),
        max_entry_size=whole_number("limits.entry-size", get("limits.entry-size"), 512, 1, _HUGE),
        enabled=switch("enable", get("enable"), True),
        allow_private=switch("allow-private", get("allow-private")),
    )


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines of a text that comes in pieces, without their ends. A line of any length costs at most 64 KiB of memory."""
    rest = b""
    too_long = False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if not too_long:
                yield _text(line)
            too_long = False
        if len(rest) > LONGEST_LINE:
            if not too_long:
                yield _text(rest)
            too_long, rest = True, b""
    if rest and not too_long:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line[:LONGEST_LINE].decode("utf-8", "replace").rstrip("\r")


def parse(chunks: Iterable[bytes], options: HttpOptions) -> tuple[dict[str, str], bool]:
    """The entries of a body that comes in pieces, and whether the limit of entries cut it. A value of 1 is the empty text."""
    entries: dict[str, str] = {}
    rows = csv_rows(lines(chunks), options) if options.csv else ((line.strip(), "") for line in lines(chunks))
    for key, value in rows:
        if not key:
            continue
        if key not in entries and len(entries) >= options.max_entries:
            return entries, True
        entries[key] = value
    return entries, False


def csv_rows(rows: Iterator[str], options: HttpOptions) -> Iterator[tuple[str, str]]:
    """Key and value of each row; the first row is left out when the options say so."""
    if options.skip_first:
        next(rows, None)
    for row in rows:
        cells = csv_cells(row, options.separator, options.max_entry_size)
        key = cells[options.key_index] if options.key_index < len(cells) else ""
        index = options.value_index
        yield key, cells[index] if index is not None and index < len(cells) else ""


def csv_cells(row: str, separator: str, longest: int) -> list[str]:
    """The cells of one row, each cut at `longest` bytes. A quote that is not closed ends with the row."""
    cells: list[list[str]] = [[]]
    size, quoted, escaped = 0, False, False
    for sign in row:
        if not escaped and sign == "\\":
            escaped = True
        elif not escaped and sign == '"':
            quoted = not quoted
        elif not escaped and not quoted and sign == separator:
            cells.append([])
            size = 0
        else:
            escaped = False
            size += len(sign.encode())
            if size <= longest:
                cells[-1].append(sign)
    return ["".join(cell) for cell in cells]
