"""Reading the registry objects of a running 0.16 through JMAP: those that define lookups, and those that say something about limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.utils.translation import gettext as _

from stores.errors import BadConfig
from stores.models import MailServer
from stores.services.mailserver_http import Bounds, Unusable, request
from stores.stalwart_toml.objects import LIMIT_FIELDS, Object

USING: Final = ["urn:ietf:params:jmap:core", "urn:stalwart:jmap"]
SINGLE: Final = ("InMemoryStore", "DataRetention")
LISTED: Final = ("StoreLookup", "MemoryLookupKey", "MemoryLookupKeyValue", "HttpLookup")
THROTTLES: Final = ("MtaInboundThrottle", "MtaOutboundThrottle")
PERMISSIONS: Final = " ".join(["authenticate", *(f"sys{kind}Get" for kind in (*SINGLE, *LISTED))])
"""What the account needs; the objects of limits are read where it may."""
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz792013"
_FULL: Final = 500
"""A list of so many objects may have been cut by the server; it is asked for again in parts."""
_PART: Final = 250
_MOST_PARTS: Final = 1000
_THROTTLE_FIELDS: Final = frozenset({"key", "rate", "enable", "description"})


class _Refused(Exception):
    """A method call that the server answered with an error."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def read(at: MailServer, bounds: Bounds, host: str) -> tuple[list[Object], list[str]]:
    """The objects in order of creation, and remarks on what could not be read.

    Raises BadConfig(field="user") when the account may not read what defines lookups, and what `request` raises.
    """
    found: list[Object] = []
    closed: list[str] = []
    for kind in (*SINGLE, *LISTED):
        try:
            found += _of(at, bounds, host, kind)
        except _Refused as refused:
            raise BadConfig(
                _("%(host)s does not let this account read x:%(kind)s (%(why)s).") % {"host": host, "kind": kind, "why": refused.kind},
                _("Give the account the permissions %(names)s.") % {"names": PERMISSIONS},
                "user",
            ) from None
    for kind in (*LIMIT_FIELDS, *THROTTLES):
        try:
            found += _of(at, bounds, host, kind)
        except _Refused:
            closed.append(kind)
    remarks = []
    if closed:
        words = _("Limits in %(kinds)s are not read: the account may not see these objects.")
        remarks.append(words % {"kinds": ", ".join(f"x:{kind}" for kind in closed)})
    return found, remarks


def _of(at: MailServer, bounds: Bounds, host: str, kind: str) -> Iterator[Object]:
    """All objects of a kind, reduced to the fields that are used."""
    if kind in SINGLE or kind in LIMIT_FIELDS:
        values = _get(at, bounds, host, kind, ["singleton"])
    else:
        values = sorted(_all(at, bounds, host, kind), key=lambda value: _number(value.get("id")))
    fields = LIMIT_FIELDS.get(kind) or (_THROTTLE_FIELDS if kind in THROTTLES else None)
    for value in values:
        yield kind, {name: field for name, field in value.items() if fields is None or name in fields}


def _all(at: MailServer, bounds: Bounds, host: str, kind: str) -> list[dict[str, Any]]:
    """Every object of a kind; in parts where one answer may not hold them all."""
    try:
        found = _get(at, bounds, host, kind, None)
    except _Refused as refused:
        if refused.kind != "requestTooLarge":
            raise
    else:
        if len(found) < _FULL:
            return found
    ids: dict[str, None] = {}
    for _round in range(_MOST_PARTS):
        page = _call(at, bounds, host, f"x:{kind}/query", {"position": len(ids), "limit": _PART}).get("ids")
        new = [str(ref) for ref in page if str(ref) not in ids] if isinstance(page, list) else []
        if not new:
            break
        ids.update(dict.fromkeys(new))
    names = list(ids)
    parts = [_get(at, bounds, host, kind, names[start : start + _PART]) for start in range(0, len(names), _PART)]
    return [value for part in parts for value in part]


def _get(at: MailServer, bounds: Bounds, host: str, kind: str, ids: list[str] | None) -> list[dict[str, Any]]:
    listed = _call(at, bounds, host, f"x:{kind}/get", {"ids": ids}).get("list")
    if not isinstance(listed, list) or not all(isinstance(value, dict) for value in listed):
        raise _no_jmap(host)
    return listed


def _call(at: MailServer, bounds: Bounds, host: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """One method call of one request. Raises _Refused with the type of the server's error."""
    answer = request(at, "POST", "/jmap", {"using": USING, "methodCalls": [[name, arguments, "c1"]]}, bounds)
    try:
        said, result, _id = answer["methodResponses"][0]
    except (KeyError, IndexError, TypeError, ValueError):
        raise _no_jmap(host) from None
    if not isinstance(result, dict):
        raise _no_jmap(host)
    if said == "error":
        raise _Refused(str(result.get("type", "error"))[:60])
    return result


def _no_jmap(host: str) -> Unusable:
    words = _("What %(host)s answers is not the JMAP of Stalwart 0.16.")
    return Unusable(words % {"host": host}, _("Give the address of Stalwart's management interface."))


def _number(ref: object) -> int:
    """The number of an id, which grows with the time of creation."""
    number = 0
    for sign in str(ref):
        number = number * 32 + max(0, _ALPHABET.find(sign))
    return number
