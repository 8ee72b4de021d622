"""What a lock of 0.16 is about: the task or queued message whose id its key holds, asked of the mail server (behaviour-0.16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from stores.errors import BadConfig
from stores.models import MailServer, Store
from stores.services import mailserver
from stores.services.actor import Actor
from stores.services.permissions import Permission, require
from stores.services.rows import Row

OBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "lock-task": ("x:Task", "task_jmap_id"),
    "lock-queue-message": ("x:QueuedMessage", "queue_jmap_id"),
}
"""Class -> JMAP object and the field that holds its id."""
MOST_FACTS: Final = 60
_DEEPEST: Final = 4
_LONGEST: Final = 300
_HIDDEN: Final = ("secret", "password", "token", "blob", "content", "body")


@dataclass(frozen=True, slots=True)
class Reference:
    """The object that a lock is held for."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Owner:
    """What the server said of it. `facts`: (name, text), nested names joined by dots; None when it no longer exists."""

    reference: Reference
    facts: tuple[tuple[str, str], ...] | None


def reference_of(row: Row) -> Reference | None:
    """The object of a lock row; None for other rows and for versions whose ids the server cannot be asked for."""
    name, field = OBJECTS.get(row.decoded.slug or "", ("", ""))
    found = row.decoded.fields.get(field)
    return Reference(name, found) if name and isinstance(found, str) else None


def server() -> MailServer | None:
    """The mail server, if one is set that can be asked for objects."""
    at = mailserver.server()
    return at if at is not None and at.version == "0.16" else None


def ask(actor: Actor, store: Store, row: Row) -> Owner:
    """Ask the server for the object of a lock. One request. Raises Forbidden, BadConfig, StoreUnavailable, StoreRefused."""
    require(actor, Permission.VIEW, store)
    at, reference = server(), reference_of(row)
    if reference is None:
        raise BadConfig(_("This key names no task and no message."), _("Only locks of Stalwart 0.16 do."))
    if at is None:
        raise BadConfig(_("No mail server of version 0.16 is set."), _("Give its address under Settings, Mail server."))
    found = mailserver.call(at, f"{reference.type}/get", {"ids": [reference.id]}).get("list", [])
    if not found or not isinstance(found[0], dict):
        return Owner(reference, None)
    facts = [fact for fact in _facts(found[0], "", 0) if fact[0] != "id"]
    return Owner(reference, tuple(facts[:MOST_FACTS]))


def _facts(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    """Scalars by their path; texts are cut, and what may hold a secret or a message's content is left out."""
    if any(word in name.rpartition(".")[2].lower() for word in _HIDDEN) or depth > _DEEPEST:
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _facts(inner, f"{name}.{key}" if name else str(key), depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value[:10], 1):
            yield from _facts(inner, f"{name}.{number}", depth + 1)
    elif value not in (None, ""):
        yield name, str(value)[:_LONGEST]
