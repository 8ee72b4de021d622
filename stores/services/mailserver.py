"""What only the mail server can do: lift a ban, purge or reset classes of a store that nobody else may write.

0.11 to 0.15 have HTTP routes, 0.16 has JMAP objects. The traps are kept from the user: an unknown class would be a full purge, a
missing maintenance type would reindex all accounts, and the answer comes before the work.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from stores.errors import BadConfig, StoreRefused
from stores.keyclasses import CLASSES
from stores.models import MailServer
from stores.services import audit
from stores.services.actor import Actor
from stores.services.mailserver_http import address_of, request
from stores.services.permissions import Permission, require
from stores.texts import say

BANS: Final = "server.blocked-ip."
FOLLOW_SECONDS: Final = 5.0
_POLL: Final = 0.25
_USING: Final = ["urn:ietf:params:jmap:core", "urn:stalwart:jmap"]
_TASKS: Final[Mapping[str, str]] = {
    **{slug: "resetRateLimiters" for slug in CLASSES if slug.startswith("rate-")},
    "quota-blob": "resetBlobQuotas", "acme": "removeAuthTokens", "oauth": "removeAuthTokens",
    "lock-queue-message": "removeLockQueueMessage", "lock-task": "removeLockTask", "lock-dav": "removeLockDav",
    "sieve-seen-id": "removeSieveId", "greylist": "removeGreylist",
}  # fmt: skip
_NO_SLUG: Final = frozenset(("token-revision", "quota-blob", "lock-dav", "sieve-seen-id", "lock-task"))
"""Classes for which 0.11 to 0.15 have no reset."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A ban as the server holds it: setting name up to 0.15, id of the object in 0.16."""

    ref: str
    network: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done or looked at, and whether it went well."""

    ok: bool
    text: str


def server() -> MailServer | None:
    """The configured mail server."""
    return MailServer.objects.first()


def save(actor: Actor, url: str, version: str, token: str, allow_invalid_certs: bool) -> MailServer:
    """Keep address and credential; an empty token keeps the present one. Raises BadConfig(field="url", "token")."""
    require(actor, Permission.CONFIGURE)
    address_of(url)
    present = server()
    kept = token.strip() or (str(present.secret.get("token", "")) if present and present.url == url.strip() else "")
    if not kept:
        raise BadConfig(say("A credential is missing."), say("Give an API key, or name:password."), "token")
    values = {"url": url.strip(), "version": version, "secret": {"token": kept}, "allow_invalid_certs": allow_invalid_certs}
    saved, _ = MailServer.objects.update_or_create(id=1, defaults=values)
    audit.record(actor, "mail-server", after={"url": saved.url, "version": version})
    return saved


def forget(actor: Actor) -> None:
    """Remove address and credential."""
    require(actor, Permission.CONFIGURE)
    MailServer.objects.all().delete()
    audit.record(actor, "mail-server-forget")


def bans(at: MailServer) -> list[Blocked]:
    """All bans of the server. One request. Raises StoreUnavailable, StoreRefused."""
    if _jmap(at):
        found = call(at, "x:BlockedIp/get", {"ids": None}).get("list", [])
        return [Blocked(str(each["id"]), str(each.get("address", ""))) for each in found]
    items = _data(request(at, "GET", f"/api/settings/list?prefix={quote(BANS)}")).get("items", {})
    return [Blocked(BANS + name.removeprefix(BANS), name.removeprefix(BANS)) for name in items]


def bans_of(at: MailServer, address: str) -> list[Blocked]:
    """Bans that cover an address or lie in a network."""
    wanted = ipaddress.ip_network(address, strict=False)
    return [each for each in bans(at) if _overlaps(each.network, wanted)]


def lift(actor: Actor, at: MailServer, address: str) -> list[Step]:
    """Delete the bans of an address, have them reloaded, and look again. Raises what the server says before anything is done."""
    require(actor, Permission.EDIT)
    found = bans_of(at, address)
    if not found:
        return [Step(True, say("The server holds no ban of %(address)s", address=address))]
    note = audit.record(actor, "lift-ban", after={"address": address, "bans": [each.network for each in found]}, outcome=audit.STARTED)
    refs = [each.ref for each in found]
    if _jmap(at):
        _done(call(at, "x:BlockedIp/set", {"destroy": refs}), "notDestroyed")
        _done(call(at, "x:Action/set", {"create": {"a": {"@type": "ReloadBlockedIps"}}}), "notCreated")
    else:
        _data(request(at, "POST", "/api/settings", [{"type": "delete", "keys": refs}]))
        _data(request(at, "GET", "/api/reload"))
    left = bans_of(at, address)
    audit.settle(note, audit.FAILED if left else audit.DONE)
    steps = [Step(True, say("Deleted %(names)s", names=", ".join(refs))), Step(True, say("Had the server reload its bans"))]
    return [*steps, Step(not left, say("Asked again: %(what)s", what="still banned" if left else "no ban of it is left"))]


def choices(version: str) -> list[str]:
    """Slugs that `maintain` takes for a server of that version."""
    if version == "0.16":
        return [slug for slug in _TASKS if CLASSES[slug].written_by(version)]
    return [slug for slug, cls in CLASSES.items() if cls.written_by(version) and slug not in _NO_SLUG]


def maintain(actor: Actor, at: MailServer, store_id: str = "", slug: str = "") -> list[Step]:
    """Have the server purge a store, or with a slug remove all keys of a class, live ones too. An empty id is the default store.

    Raises BadConfig(field="class" or "store") for what the server would take for something else.
    """
    require(actor, Permission.BULK, store_id or None)
    if slug and slug not in choices(at.version):
        raise BadConfig(
            say("The server has no reset for %(slug)s.", slug=slug),
            say("Choose one of %(names)s.", names=", ".join(choices(at.version))),
            "class",
        )
    if _jmap(at) and store_id:
        raise BadConfig(say("A server of 0.16 maintains only its default store."), say("Leave the store empty."), "store")
    note = audit.record(actor, "server-maintenance", store_id, class_slug=slug, after={"of": store_id or "default"}, outcome=audit.STARTED)
    steps = _task(at, _TASKS[slug] if slug else "purgeData") if _jmap(at) else _route(at, store_id, slug)
    audit.settle(note, audit.DONE if all(step.ok for step in steps) else audit.FAILED)
    return steps


def _route(at: MailServer, store_id: str, slug: str) -> list[Step]:
    path = f"/api/store/purge/in-memory/{quote(store_id, safe='') or 'default'}" + (f"/{slug}" if slug else "")
    _data(request(at, "GET", path))
    said = say("The server has taken it over. It answers before the work, and does nothing while a lock of an earlier purge is held")
    return [Step(True, say("Asked for %(path)s", path=path)), Step(True, say("%(said)s: count the store to see the result", said=said))]


def _task(at: MailServer, kind: str) -> list[Step]:
    """Create the task and follow it until it is gone (done) or says why it failed."""
    created = call(at, "x:Task/set", {"create": {"t": {"@type": "StoreMaintenance", "maintenanceType": kind}}})
    _done(created, "notCreated")
    task_id = str(created["created"]["t"]["id"])
    steps = [Step(True, say("Created task %(task_id)s: %(kind)s", task_id=task_id, kind=kind))]
    deadline = time.monotonic() + FOLLOW_SECONDS
    while True:
        found = call(at, "x:Task/get", {"ids": [task_id]}).get("list", [])
        if not found:
            return [*steps, Step(True, say("The task is gone: the server has done it"))]
        status = found[0].get("status", {})
        if reason := status.get("failureReason"):
            return [*steps, Step(False, say("It failed and will be tried again: %(reason)s", reason=reason))]
        if time.monotonic() >= deadline:
            return [*steps, Step(False, say("It has not been done yet: the server still holds the task"))]
        time.sleep(_POLL)


def _jmap(at: MailServer) -> bool:
    return at.version == "0.16"


def call(at: MailServer, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """One JMAP method call of a server of 0.16, and its arguments back. Raises StoreRefused, StoreUnavailable."""
    answer = request(at, "POST", "/jmap", {"using": _USING, "methodCalls": [[name, arguments, "c1"]]})
    try:
        said, result, _ = answer["methodResponses"][0]
    except (KeyError, IndexError, TypeError, ValueError):
        raise StoreRefused(say("The server's answer is no JMAP."), say("Check its version under Settings, Mail server.")) from None
    if said == "error" or not isinstance(result, dict):
        raise StoreRefused(say("The server refused %(name)s.", name=name), say("Check the permissions of the account."))
    return result


def _done(result: Mapping[str, Any], failed: str) -> None:
    for problem in (result.get(failed) or {}).values():
        said = f"{problem.get('type', 'refused')} {problem.get('description', '')}".strip()
        raise StoreRefused(say("The server refused it: %(said)s", said=said), say("Check the permissions of the account."))


def _data(answer: Any) -> dict[str, Any]:
    """The `data` of an answer; the server says errors with status 200 too."""
    if isinstance(answer, dict) and answer.get("error"):
        raise StoreRefused(
            say("The server refused it: %(answer)s.", answer=answer["error"]), say("Check the id and the permissions of the account.")
        )
    data = answer.get("data") if isinstance(answer, dict) else None
    return data if isinstance(data, dict) else {}


def _overlaps(text: str, wanted: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        banned = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return banned.version == wanted.version and banned.overlaps(wanted)
