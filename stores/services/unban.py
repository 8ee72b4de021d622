"""Letting an address in again, as one act: its bans are lifted on the mail server, then the counters that would ban it again are reset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from stores.keyclasses import class_of
from stores.models import MailServer
from stores.services import find, mailserver, relief
from stores.services.actor import Actor
from stores.services.limited import BANNING, window_of
from stores.services.mailserver import Blocked, Step
from stores.services.relief import KeyResult, Target


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done: the bans that would be deleted, and the counters of running windows that would be reset."""

    bans: tuple[Blocked, ...]
    counters: tuple[Target, ...]
    unread: tuple[str, ...]
    """Stores that could not be asked for counters, each with why."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """What was done, step by step. `undo` puts the counters back; it does not bring a ban back."""

    steps: tuple[Step, ...]
    undo: str


def plan(at: MailServer, address: str) -> Plan:
    """Look, change nothing. Raises what the server says, ValueError for a text that is no address."""
    counters, unread = _counters(address)
    return Plan(tuple(mailserver.bans_of(at, address)), counters, unread)


def lift(actor: Actor, at: MailServer, address: str) -> Lifted:
    """Delete the bans, have the server reload, look again; then reset the counters of the address in every store.

    Counters are reset only when no ban is left, as otherwise nothing would come of it. Raises what the server says before anything
    is done.
    """
    steps = mailserver.lift(actor, at, address)
    if not all(step.ok for step in steps):
        return Lifted(tuple(steps), "")
    counters, unread = _counters(address)
    steps += [Step(False, _("Not reset: %(why)s") % {"why": why}) for why in unread]
    if not counters:
        return Lifted((*steps, Step(not unread, _("No counter of a running window is left that would ban it again"))), "")
    outcome = relief.carry_out(actor, relief.action_of("reset"), counters)
    return Lifted((*steps, *_told(outcome.results)), outcome.undo)


def _counters(address: str) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """Counters of running windows that ban, in all stores: exact look-ups, no walk."""
    found = find.search(address, budget_seconds=0.0)
    targets = tuple(
        Target.of_row(finding.store_id, finding.row)
        for finding in found.findings
        if finding.row.decoded.slug in BANNING and window_of(finding.store_id, finding.row) is not None
    )
    unread = tuple(f"{searched.store_id}: {searched.error}" for searched in found.stores if searched.error is not None)
    return targets, unread


def _told(results: Iterable[KeyResult]) -> list[Step]:
    return [Step(result.state in ("done", "gone"), _line(result)) for result in results]


def _line(result: KeyResult) -> str:
    names = {"store": result.target.store_id, "what": _what(result)}
    if result.state == "done":
        return _("%(what)s in %(store)s reset, and read again: nothing is counted") % names
    if result.state == "gone":
        return _("%(what)s in %(store)s was gone already") % names
    said = result.message or _("it has counted on since; look again and reset it")
    return _("%(what)s in %(store)s not reset: %(why)s") % {**names, "why": said.rstrip(".")}


def _what(result: KeyResult) -> str:
    row = result.before or result.after
    return row.decoded.title if row is not None else class_of(None).title
