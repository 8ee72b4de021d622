"""The mail server's own management: where it is, its bans, and having it maintain a store."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict
from typing import Annotated, Any, Literal

from ninja import Field, Router, Schema, Status

from stores.api.base import Address, ApiRequest, Body, Name, Text, actor, does, whole
from stores.api.subjects import TargetOut, target_out
from stores.errors import BadConfig, KeyNotFound
from stores.models import MailServer
from stores.services import mailserver, unban
from stores.services.permissions import Permission, require

router = Router(tags=["mail server"])


class ServerOut(Schema):
    """The credential is never given out. `maintains`: what `maintenance` takes as `class`."""

    url: str
    version: str
    allow_invalid_certs: bool
    maintains: list[str]


class ServerIn(Body):
    """`token`: an API key, or `name:password`; empty keeps the present one."""

    url: Address
    version: Literal["0.11", "0.15", "0.16"]
    token: Annotated[Text, Field(max_length=500)] = ""
    allow_invalid_certs: bool = False


class BanOut(Schema):
    ref: str
    network: str


class StepOut(Schema):
    ok: bool
    text: str


class LiftIn(Body):
    address: Name


class LiftPlanOut(Schema):
    """The bans that would be deleted, the counters that would be reset, and the stores that could not be asked for some."""

    bans: list[BanOut]
    counters: list[TargetOut]
    unread: list[str]


class LiftedOut(Schema):
    """`undo` is for `POST /acts/undo`: it puts counters back, not bans; empty where none was reset."""

    steps: list[StepOut]
    undo: str


class MaintainIn(Body):
    """Empty `class`: purge what has expired. With one, all keys of it go, live ones too, without undo: say so by `sure`."""

    store: Name = ""
    class_: Name = Field("", alias="class")
    sure: bool = False


@router.get("/mail-server", **does("read", ServerOut, "The mail server that is set; 404 without one"))
def get_server(request: ApiRequest) -> dict[str, Any]:
    whole(request, "read")
    return _server(_present())


@router.put("/mail-server", **does("admin", ServerOut, "Set address and credential; nothing is sent to it"))
def put_server(request: ApiRequest, body: ServerIn) -> dict[str, Any]:
    whole(request, "admin")
    return _server(mailserver.save(actor(request), body.url, body.version, body.token, body.allow_invalid_certs))


@router.delete("/mail-server", **does("admin", None, "Forget address and credential", 204))
def delete_server(request: ApiRequest) -> Status[None]:
    whole(request, "admin")
    mailserver.forget(actor(request))
    return Status(204, None)


@router.get("/mail-server/bans", **does("read", list[BanOut], "Bans that the mail server holds, of one address or all"))
def list_bans(request: ApiRequest, address: Name = "") -> list[dict[str, Any]]:
    whole(request, "read")
    at = _present()
    return [asdict(each) for each in (mailserver.bans_of(at, _network(address)) if address else mailserver.bans(at))]


@router.post("/mail-server/test", **does("admin", list[StepOut], "Ask the mail server for its bans, to see that it answers"))
def test_server(request: ApiRequest) -> list[dict[str, Any]]:
    """An error where it does not answer, or not as it should."""
    whole(request, "admin")
    require(actor(request), Permission.CONFIGURE)
    return [{"ok": True, "text": f"The server answers and names its bans: {len(mailserver.bans(_present()))}"}]


@router.post("/mail-server/lift/plan", **does("read", LiftPlanOut, "What lifting the bans of an address would do"))
def plan_lift(request: ApiRequest, body: LiftIn) -> dict[str, Any]:
    whole(request, "read")
    found = unban.plan(_present(), _network(body.address))
    return {
        "bans": [asdict(each) for each in found.bans],
        "counters": [target_out(each) for each in found.counters],
        "unread": list(found.unread),
    }


@router.post("/mail-server/lift", **does("edit", LiftedOut, "Lift the bans of an address, and reset what would ban it again"))
def lift_ban(request: ApiRequest, body: LiftIn) -> dict[str, Any]:
    """Looks again after each; counters are only reset when no ban is left."""
    whole(request, "edit")
    done = unban.lift(actor(request), _present(), _network(body.address))
    return {"steps": [asdict(step) for step in done.steps], "undo": done.undo}


@router.post("/mail-server/maintenance", **does("edit", list[StepOut], "Have the mail server purge a store or remove a class"))
def maintain(request: ApiRequest, body: MaintainIn) -> list[dict[str, Any]]:
    whole(request, "edit")
    if body.class_ and not body.sure:
        raise BadConfig("All keys of the class go, live ones too.", "Say so by sure: true.", "sure")
    return [asdict(step) for step in mailserver.maintain(actor(request), _present(), body.store, body.class_)]


def _present() -> MailServer:
    found = mailserver.server()
    if found is None:
        raise KeyNotFound("No mail server is set.", "Give its address and credential.")
    return found


def _server(at: MailServer) -> dict[str, Any]:
    maintains = mailserver.choices(at.version)
    return {"url": at.url, "version": at.version, "allow_invalid_certs": at.allow_invalid_certs, "maintains": maintains}


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise BadConfig("This is no address and no network.", "Such as 192.0.2.1 or 2001:db8::/64.", "address") from None
