"""Domains and words of texts, for `domain_part` and `tokenize`."""

from __future__ import annotations

from functools import cache

from publicsuffixlist import PublicSuffixList

from stores.expressions.errors import EvalError
from stores.expressions.functions import PURE, Style
from stores.expressions.values import EMPTY, Value


def domain_part(arguments: list[Value], style: Style) -> Value:
    """`sld` the registrable domain, `tld` the last label, `host` the first one; empty text for what has none.

    Registrable is decided by the public suffix list of the installed package; the mail server's own copy may be of another day.
    """
    domain, part = style.text(arguments[0]).strip().lower().rstrip("."), style.text(arguments[1])
    if not domain or ".." in domain or domain.startswith("."):
        return EMPTY
    if part == "sld":
        return _suffixes().privatesuffix(domain) or EMPTY
    if part == "tld":
        return domain.rpartition(".")[2]
    return domain.partition(".")[0] if part == "host" else EMPTY


def tokenize(arguments: list[Value], style: Style) -> Value:
    """`words`: the words of a text that are all letters and digits. The other kinds look for addresses and are not run here."""
    kind = style.text(arguments[1])
    if kind != "words":
        raise EvalError(f'tokenize looks for "{kind[:20]}" in Stalwart only; here it takes "words".')
    return PURE["split_words"][1](arguments[:1], style)


@cache
def _suffixes() -> PublicSuffixList:
    """Read once, 30 ms."""
    return PublicSuffixList()
