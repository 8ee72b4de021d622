"""Odd values and names of parameters for the random requests."""

from __future__ import annotations

from typing import Final

NASTY: Final = (
    "", " ", "0", "-1", "1", "9" * 30, "1e309", "NaN", "true", "null", "\0", "\x1b[31m", "\u202e\u2066evil", "\ud800", "é" * 300,
    "a" * 5000, "<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "=cmd|' /C calc'!A0", "../../etc/passwd", "%00", "%ff",
    "{{7*7}}", "{% x %}", "' OR 1=1 --", "\r\nSet-Cookie: a=b", "https://evil.example/", "//evil.example", "javascript:alert(1)",
    "0 3 *", "* * *", "99 99 9", "2026-02-30", "2026-02-28", "2100-01-01T00:00", "10000-01-01", "1970-01-01", "3h", "P1D", "01 ff",
    "0x", "zz", "user:ana", "10.0.0.1", "::1", "fe80::1%1", "300.1.1.1", "a@b.example", "[", "(", "*", "?", "a**b", "[[[[", "a = [",
    "store.x.type = 'redis'", "{", '{"a":', "\ufeff", "\u00ad", "İ", "ﬀ",
)  # fmt: skip
NAMES: Final = (
    "q", "cursor", "class", "prefix", "kind", "expiry", "store", "slug", "run", "text", "since", "until", "group", "key", "value",
    "number", "do", "next", "pick", "token", "count", "format", "at", "from", "to", "limit", "to_store", "action", "days", "hours",
    "id", "type", "theme",
)  # fmt: skip
