"""The difference of two clocks in words; every connection test that can ask for the time has it."""

from __future__ import annotations

from stores.texts import Text, figure, say


def clock_words(ahead: float) -> Text:
    """By how many seconds the server's clock is wrong, seen from here."""
    seconds = figure(abs(ahead), 1)
    if ahead > 0:
        return say("the server's clock is %(seconds)s s ahead of kvadmin's", seconds=seconds)
    return say("the server's clock is %(seconds)s s behind kvadmin's", seconds=seconds)
