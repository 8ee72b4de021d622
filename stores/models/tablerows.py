"""The entries of a table in kvadmin's own database, read a page at a time in byte order: opening a store reads none of them."""

from __future__ import annotations

from django.db.models import QuerySet

from stores.models.store import StaticEntry, Store

_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


class StoredRows:
    """Rows of one store. Each call is one query by the index of store and key."""

    def __init__(self, store: Store) -> None:
        self._all = StaticEntry.objects.filter(store=store).order_by("key")

    def get(self, key: bytes) -> bytes | None:
        """The value under exactly this key."""
        try:
            text = key.decode()
        except UnicodeDecodeError:
            return None
        if "\0" in text:
            return None
        found = self._all.filter(key=text).values_list("value", flat=True).first()
        return None if found is None else found.encode()

    def page(self, start: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """The next rows from `start` on, before `end`."""
        return [(key.encode(), value.encode()) for key, value in self._between(start, end).values_list("key", "value")[:limit]]

    def count(self, start: bytes = b"", end: bytes | None = None, at_most: int | None = None) -> tuple[int, bool]:
        """Number of rows and whether it is exact; stops after `at_most`."""
        found = self._between(start, end)
        if at_most is None:
            return found.count(), True
        number = found[: at_most + 1].count()
        return min(number, at_most), number <= at_most

    def size(self) -> int | None:
        """Not known without reading all rows."""
        return None

    def _between(self, start: bytes, end: bytes | None) -> QuerySet[StaticEntry]:
        found = self._all
        first, last = first_text(start), None if end is None else first_text(end)
        if first is None:
            return found.none()
        text, strictly = first
        if text or strictly:
            found = found.filter(key__gt=text) if strictly else found.filter(key__gte=text)
        if last is not None:
            text, strictly = last
            found = found.filter(key__lte=text) if strictly else found.filter(key__lt=text)
        return found


def first_text(bound: bytes) -> tuple[str, bool] | None:
    """The smallest text whose UTF-8 is not below `bound`, and whether that text itself is still below; None when there is none.

    Texts here hold no NUL, which databases refuse: whatever begins with `a NUL` lies right after `a`.
    """
    head, nul, _ = bound.partition(b"\0")
    try:
        return head.decode(), bool(nul)
    except UnicodeDecodeError as error:
        good = head[: error.start].decode()
        rest = head[error.start :]
    sign = _first_sign(rest)
    if sign is not None:
        return good + sign, False
    while good:
        following = _after(good[-1])
        if following is not None:
            return good[:-1] + following, False
        good = good[:-1]
    return None


def _first_sign(rest: bytes) -> str | None:
    """The first character whose UTF-8 is not below some bytes that are no character."""
    low, high = 0, _LAST + 1
    while low < high:
        middle = (low + high) // 2
        if middle in _SURROGATES:
            middle = _SURROGATES.start - 1
            if middle < low:
                low = _SURROGATES.stop
                continue
        if chr(middle).encode() < rest:
            low = middle + 1
        else:
            high = middle
    if low in _SURROGATES:
        low = _SURROGATES.stop
    return chr(low) if low <= _LAST else None


def _after(sign: str) -> str | None:
    number = ord(sign) + 1
    if number in _SURROGATES:
        number = _SURROGATES.stop
    return chr(number) if number <= _LAST else None
