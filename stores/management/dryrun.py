"""The dry run of a bulk change on the command line: samples, time and what of it could be undone, as its page shows them."""

from __future__ import annotations

from typing import Any

from stores.management.base import KvCommand
from stores.management.commands.keys import words
from stores.services.bulk_preview import Preview
from stores.services.durations import in_words
from stores.services.keyfile_import import Preview as ImportPreview
from stores.types import Pace


def show(command: KvCommand, shown: Preview, pace: Pace) -> None:
    """Samples spread over the keys, then how long it would take and what of it could be undone."""
    for row in shown.found.samples:
        command.line(words(row))
    command.line(promises(shown, pace))


def promises(shown: Preview | ImportPreview, pace: Pace) -> str:
    """ "About 12 s at normal pace. Undo covers the first 1200 keys: the trash has no more room." """
    seconds = max(1.0, shown.seconds[pace])
    known = "" if shown.measured else ", guessed"
    return f"About {in_words(seconds)} at {pace.value} pace{known}. {undo_words(shown)}"


def undo_words(shown: Preview | ImportPreview) -> str:
    """How much of the change can be undone, before it begins."""
    if shown.cover is None:
        return "Nothing is kept for an undo."
    if shown.cover.everything:
        return "Undo covers all."
    return f"Undo covers the first {shown.cover.keys} keys: the trash has no more room."


def described(shown: Preview, pace: Pace) -> dict[str, Any]:
    """The same in JSON; a public interface."""
    undoable = 0 if shown.cover is None else shown.found.keys if shown.cover.everything else shown.cover.keys
    return {"seconds": round(shown.seconds[pace], 3), "undoable": undoable}
