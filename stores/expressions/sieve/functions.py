"""What Sieve's expressions have beyond those of settings (expressions.md 6.4)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from stores.expressions.errors import LimitReached
from stores.expressions.functions import PURE, Function, Style
from stores.expressions.sieve.domains import domain_part, tokenize
from stores.expressions.values import EMPTY, Value

PLUGINS: Final[Mapping[str, int]] = {
    "query": 3,
    "key_exists": 2,
    "key_get": 2,
    "key_set": 4,
    "is_local_domain": 2,
    "dns_query": 2,
    "dns_exists": 2,
}
"""Functions that ask the outside."""

NOT_SIMULATED: Final[Mapping[str, str]] = {
    **dict.fromkeys(("is_body", "is_attachment", "attachment_name", "mime_part_len", "is_encoding_problem", "received_part", "thread_name",
                     "html_to_text", "img_metadata", "detect_file_type", "is_header_utf8_valid", "http_header", "add_header"),
                    "it reads or changes a message, and there is none"),
    **dict.fromkeys(("exec", "llm_prompt"), "it would run a program or ask another server"),
    **dict.fromkeys(("detect_language", "has_zwsp", "has_obscured", "is_mixed_charset", "unicode_skeleton", "cure_text", "var_names",
                     "is_ip_in_cidr"), "its tables are Stalwart's own"),
}  # fmt: skip
"""Functions of Stalwart's scripts that are refused here, and why."""

LONGEST = 2000
"""Characters that the quadratic comparisons take."""


def _elements(value: Value, style: Style) -> list[str]:
    return [style.text(element) for element in value] if isinstance(value, list) else list(style.text(value))


def _levenshtein(arguments: list[Value], style: Style) -> Value:
    a, b = style.text(arguments[0]), style.text(arguments[1])
    if max(len(a), len(b)) > LONGEST:
        raise LimitReached(f"levenshtein_distance compares at most {LONGEST} characters")
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (left != right))
    return row[-1]


def _jaccard(arguments: list[Value], style: Style) -> Value:
    a, b = set(_elements(arguments[0], style)), set(_elements(arguments[1], style))
    return len(a & b) / len(a | b) if a | b else 0.0


def _cosine(arguments: list[Value], style: Style) -> Value:
    a, b = Counter(_elements(arguments[0], style)), Counter(_elements(arguments[1], style))
    lengths = math.sqrt(sum(n * n for n in a.values())) * math.sqrt(sum(n * n for n in b.values()))
    return sum(count * b[element] for element, count in a.items()) / lengths if lengths else 0.0


def _puny_decode(arguments: list[Value], style: Style) -> Value:
    labels = []
    for label in style.text(arguments[0]).split("."):
        try:
            labels.append(label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label)
        except (UnicodeError, ValueError):
            labels.append(label)
    return ".".join(labels)


def _uri_part(arguments: list[Value], style: Style) -> Value:
    try:
        uri = urlsplit(style.text(arguments[0]))
        port = uri.port
    except ValueError:
        return EMPTY
    query = f"?{uri.query}" if uri.query else ""
    parts: dict[str, Value] = {
        "scheme": uri.scheme,
        "host": uri.hostname or EMPTY,
        "scheme_host": f"{uri.scheme}://{uri.hostname or ''}",
        "path": uri.path,
        "port": EMPTY if port is None else port,
        "query": uri.query,
        "path_query": uri.path + query,
        "authority": uri.netloc,
    }
    return parts.get(style.text(arguments[1]), EMPTY)


def _hash(arguments: list[Value], style: Style) -> Value:
    value, algorithm = arguments
    one = PURE["hash"][1]
    return [one([element, algorithm], style) for element in value] if isinstance(value, list) else one(arguments, style)


EXTRA: Final[Mapping[str, tuple[int, Function]]] = {
    "hash": (2, _hash),
    "is_ascii": (1, lambda arguments, style: int(style.text(arguments[0]).isascii())),
    "levenshtein_distance": (2, _levenshtein),
    "jaccard_similarity": (2, _jaccard),
    "cosine_similarity": (2, _cosine),
    "puny_decode": (1, _puny_decode),
    "uri_part": (2, _uri_part),
    "domain_part": (2, domain_part),
    "tokenize": (2, tokenize),
}
