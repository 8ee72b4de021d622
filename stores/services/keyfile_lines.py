"""Files of keys, line by line: JSON Lines or CSV as `export` writes them, or as somebody writes them by hand.

What is wrong with a file as a whole is refused before its first line; what is wrong with a line names the line and the field.
Memory holds one line, of at most 8 MB.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal

from django.utils.translation import gettext as _

from stores.errors import BadConfig
from stores.services.durations import LAST_MOMENT, parse_expiry
from stores.types import Entry, Keep, Kind

Format = Literal["jsonl", "csv"]
FORMATS: Final[Sequence[Format]] = ("jsonl", "csv")
LONGEST: Final = 8 << 20
"""Bytes of one line; of a CSV, of one record."""
FIELDS: Final = ("key_hex", "key", "kind", "value_hex", "value", "counter", "expires_at", "expires")
"""What a row is made of. Where a hex field is in the file it counts, and its text is only for people."""
IGNORED: Final = ("class", "expired", "label", "fields")
"""What `export` writes for people."""
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that a spreadsheet would run; `export` puts a quote before it."""

_PACKED: Final[Mapping[bytes, str]] = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
}
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")
_MARK: Final = b"\xef\xbb\xbf"
_HIGHEST: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong in a line; `field` is empty where it is the line as a whole."""

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = _("Line %(line)d, field %(field)s") if self.field else _("Line %(line)d")
        return f"{where % {'line': self.line, 'field': self.field}}: {self.message}"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the file. `end` is the byte after it and `last` its last line: a run goes on from there."""

    number: int
    end: int
    last: int
    entry: Entry | Wrong


def format_of(file: BinaryIO) -> Format:
    """What the file is, told from its first bytes. Raises BadConfig for compressed files, other encodings and empty ones."""
    file.seek(0)
    head = file.read(4096)
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            message = _("This is a compressed file (%(name)s).") % {"name": name}
            raise BadConfig(message, _("Unpack it first, then upload what is in it."), "file")
    if head.startswith(_WIDE) or b"\x00" in head:
        raise BadConfig(_("This is no text in UTF-8."), _("Save it as UTF-8 (in Excel: CSV UTF-8)."), "file")
    text = head.removeprefix(_MARK).lstrip()
    if not text:
        raise BadConfig(_("The file is empty."), _("Choose a file that export has written."), "file")
    return "jsonl" if text.startswith((b"{", b"[")) else "csv"


def lines(file: BinaryIO, format: Format, now: float, offset: int = 0, number: int = 0) -> Iterator[Line]:
    """The rows from a byte on; `number` lines lie before it. Durations count from `now`. Raises BadConfig for a file as a whole."""
    columns = _columns(file) if format == "csv" else ()
    if format == "csv" and offset == 0:
        offset, number = file.tell(), 1
    file.seek(offset)
    if offset == 0 and file.read(len(_MARK)) != _MARK:
        file.seek(0)
    while True:
        first = number + 1
        text, count = _record(file) if format == "csv" else (file.readline(LONGEST + 1), 1)
        if not text:
            return
        number += count
        if len(text) > LONGEST:
            _skip_rest(file, text)
            message = _("The line is longer than %(size)d MB.") % {"size": LONGEST >> 20}
            yield Line(first, file.tell(), number, Wrong(first, "", message))
        elif text.strip():
            yield Line(first, file.tell(), number, _entry(text, first, columns, now))


def last_row(file: BinaryIO, format: Format) -> tuple[int, bytes | None]:
    """Where an interrupted export ends: the byte after its last whole row, and the key of that row, None where there is none.

    Reads the file once, a row at a time. Raises BadConfig where the last row is none that `export` writes.
    """
    file.seek(0)
    end, last = 0, b""
    while text := (_record(file)[0] if format == "csv" else file.readline(LONGEST + 1)):
        whole = text.endswith(b"\n") and (format == "jsonl" or text.count(b'"') % 2 == 0)
        if not whole:
            break
        named = end == 0 and format == "csv" and text.startswith(b"key_hex,")
        end, last = file.tell(), b"" if named else text
    return end, _key_in(last, format) if last.strip() else None


def _key_in(text: bytes, format: Format) -> bytes:
    try:
        in_hex = next(csv.reader([text.decode()]))[0] if format == "csv" else json.loads(text)["key_hex"]
        return bytes.fromhex(in_hex)
    except (ValueError, KeyError, TypeError, IndexError, csv.Error):
        message = _("The file does not end as an export of this format does.")
        raise BadConfig(message, _("Choose the format that the file has, or another file."), "file") from None


def _record(file: BinaryIO) -> tuple[bytes, int]:
    """A line, with those that follow as long as a quote is open."""
    parts = [file.readline(LONGEST + 1)]
    size, open_quote = len(parts[0]), parts[0].count(b'"') % 2
    while open_quote and size <= LONGEST:
        more = file.readline(LONGEST + 1 - size)
        if not more:
            break
        parts.append(more)
        size += len(more)
        open_quote ^= more.count(b'"') % 2
    return b"".join(parts), len(parts)


def _skip_rest(file: BinaryIO, text: bytes) -> None:
    """Read on to the end of a line that is too long."""
    while text and not text.endswith(b"\n"):
        text = file.readline(LONGEST)


def _columns(file: BinaryIO) -> tuple[str, ...]:
    """The names in the first line of a CSV. Raises BadConfig for names that are not known, and without a key."""
    file.seek(0)
    head, _count = _record(file)
    try:
        names = tuple(name.strip() for name in next(csv.reader([head.removeprefix(_MARK).decode()], strict=True)))
    except (UnicodeDecodeError, csv.Error, StopIteration):
        names = ()
    expected = ", ".join(FIELDS)
    if not {"key", "key_hex"} & set(names):
        message = _("The first line of the CSV has no column key or key_hex.")
        raise BadConfig(message, _("Name the columns: %(names)s.") % {"names": expected}, "file")
    for name in names:
        if name not in (*FIELDS, *IGNORED) or names.count(name) > 1:
            raise BadConfig(
                _("The column %(name)s of the CSV is not known, or there twice.") % {"name": repr(name[:40])},
                _("Columns are: %(names)s.") % {"names": expected},
                "file",
            )
    return names


def _entry(text: bytes, number: int, columns: Sequence[str], now: float) -> Entry | Wrong:
    try:
        row = _csv_row(text, columns) if columns else _json_row(text)
        return _made(row, now)
    except UnicodeDecodeError as error:
        return Wrong(number, "", _("It is not UTF-8 at byte %(place)d.") % {"place": error.start + 1})
    except BadConfig as error:
        return Wrong(number, _shown(error.field or ""), _shown(error.message))


def _shown(text: str) -> str:
    """Words that can be written out: halves of characters, which JSON can hold, as escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text


def _csv_row(text: bytes, columns: Sequence[str]) -> dict[str, Any]:
    if b"\x00" in text:
        raise BadConfig(_("It holds a NUL character; in a CSV such bytes are written as hex."))
    try:
        cells = next(csv.reader(io.StringIO(text.decode(), newline=""), strict=True))
    except csv.Error as error:
        raise BadConfig(_("It is no line of a CSV: %(why)s.") % {"why": error}) from None
    if len(cells) != len(columns):
        raise BadConfig(_("It has %(cells)d cells, the first line has %(columns)d.") % {"cells": len(cells), "columns": len(columns)})
    row = dict(zip(columns, cells, strict=True))
    for name in ("key", "value"):
        row[name] = _unquoted(row.get(name, ""))
    return row


def _unquoted(text: str) -> str:
    """The text that a quote kept from being a formula."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def _json_row(text: bytes) -> dict[str, Any]:
    try:
        row = json.loads(text.decode())
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        deep = "nested too deep" if isinstance(error, RecursionError) else "a number is too long"
        raise BadConfig(_("It is no JSON: %(why)s.") % {"why": getattr(error, "msg", deep)}) from None
    if not isinstance(row, dict):
        raise BadConfig(_("It is no JSON object."))
    for name in row:
        if name not in (*FIELDS, *IGNORED):
            raise BadConfig(_("The field is not known; fields are %(names)s.") % {"names": ", ".join(FIELDS)}, "", name[:40])
    return row


def _made(row: Mapping[str, Any], now: float) -> Entry:
    fields = row.get("fields")
    if isinstance(fields, dict) and "problem" in fields:
        raise BadConfig(_("The row was malformed when it was exported."), "", "fields")
    key = _bytes_of(row, "key")
    if key is None:
        raise BadConfig(_("It has no key."), "", "key_hex")
    kind = _kind(row.get("kind"))
    number = _integer(row.get("counter"), "counter", -_HIGHEST - 1, _HIGHEST)
    value = None if kind is Kind.COUNTER else _bytes_of(row, "value")
    if kind is None:
        kind = Kind.COUNTER if number is not None and value is None else Kind.VALUE
    if kind is Kind.COUNTER and number is None:
        raise BadConfig(_("A counter needs a number."), "", "counter")
    if kind is not Kind.COUNTER and value is None:
        if kind is not Kind.LOCK:
            raise BadConfig(_("It has neither a value nor a counter."), "", "value_hex")
        value = b""
    return Entry(key, kind, value, number, _expiry(row, now))


def _bytes_of(row: Mapping[str, Any], name: str) -> bytes | None:
    """The bytes of key or value: from hex where the file has hex, else from text."""
    in_hex = row.get(f"{name}_hex")
    if in_hex is not None and (in_hex or name == "value" or not row.get(name)):
        if not isinstance(in_hex, str):
            raise BadConfig(_("It is no text."), "", f"{name}_hex")
        try:
            return bytes.fromhex(in_hex)
        except ValueError:
            raise BadConfig(_("It is not hexadecimal."), "", f"{name}_hex") from None
    text = None if f"{name}_hex" in row and name == "value" else row.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise BadConfig(_("It is no text."), "", name)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise BadConfig(_("It holds half a character."), "", name) from None


def _kind(text: Any) -> Kind | None:
    if text in (None, ""):
        return None
    if text not in [kind.value for kind in Kind]:
        raise BadConfig(_("It is not one of value, counter, lock and unknown."), "", "kind")
    return Kind(text)


def _integer(found: Any, field: str, lowest: int, highest: int) -> int | None:
    if found is None or found == "":
        return None
    if isinstance(found, str) and len(found) <= 20 and found.isascii() and found.lstrip("-").isdigit():
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not lowest <= found <= highest:
        raise BadConfig(_("It is no whole number from %(lowest)d to %(highest)d.") % {"lowest": lowest, "highest": highest}, "", field)
    return found


def _expiry(row: Mapping[str, Any], now: float) -> int | None:
    """Unix seconds; None for never, which is also what a row without any expiry means."""
    if "expires_at" in row:
        return _integer(row["expires_at"], "expires_at", 0, LAST_MOMENT)
    text = row.get("expires")
    if text is not None and not isinstance(text, str):
        raise BadConfig(_("It is no text."), "", "expires")
    found = parse_expiry(text or "never", now, field="expires")
    return None if isinstance(found, Keep) else found


csv.field_size_limit(LONGEST)
