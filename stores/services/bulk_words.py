"""What the mail server will do when keys of a class are removed, in one sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stores import keyclasses
from stores.services.bulk_change import Change
from stores.texts import say

_BY_FAMILY: Final[Mapping[str, str]] = {
    "greylist": say(
        "Stalwart greylists these senders again: their next first try is answered with 452 and delayed. Mail "
        "already accepted is not touched."
    ),
    "limits": say("These limits count from zero again: whoever was held back may try at once."),
    "locks": say("A task whose lock goes may be started a second time by another node while the first is still at it."),
    "bayes": say("The spam filter forgets what it has learned; its verdicts change from the next message on."),
    "reputation": say("These senders start without any history; their next messages are judged as from strangers."),
    "oauth": say("Sign-ins that wait for their code have to be started again."),
    "acme": say("Certificate orders that are under way fail and are started again."),
    "dav": say("Calendar and address book clients lose their locks; two of them may write the same file."),
    "quota": say("Uploads are counted from zero again."),
    "sieve": say("Vacation replies and duplicates that were held back may be sent once more."),
}


def consequence(change: Change) -> str:
    """What a removal means for the mail server; empty where the filter names no class or nothing is removed."""
    found = keyclasses.CLASSES.get(change.filter.class_slug)
    if found is None or not change.removes or found.slug == "trusted-reply":
        return ""
    return _BY_FAMILY.get(found.family, "")
