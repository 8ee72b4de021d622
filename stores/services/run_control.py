"""Steering runs that are there: another pace, and going on with one that ended before its time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from stores.errors import Busy, NotSupported
from stores.models import ACTIVE_STATES, Run, RunAction, RunState
from stores.services import audit
from stores.services.actor import Actor
from stores.services.keyfile_spool import exists
from stores.services.runs import add_log, queue, require_control
from stores.texts import say
from stores.types import Pace

UNFINISHED: Final = frozenset({RunState.FAILED, RunState.STOPPED, RunState.CANCELLED})
"""How a run ends that has not come to its end."""
_REPEATED: Final = frozenset({RunAction.PURGE, RunAction.BULK, RunAction.CENSUS})
_ANEW: Final[Mapping[str, Any]] = {
    "started_at": None, "position": "", "progress": None, "scanned": 0, "corrupt": 0, "seconds": 0.0, "points": [], "params": {},
}  # fmt: skip
"""A count is no sum of two halves of different times: it begins anew."""


def can_go_on(run: Run) -> bool:
    """Whether `go_on` takes the run: a count, purge or bulk change that was begun and came to no end. An import needs its file."""
    begun = run.started_at is not None and run.action in _REPEATED and bool(run.store_id)
    return run.state in UNFINISHED and begun and not file_is_gone(run)


def file_is_gone(run: Run) -> bool:
    """Whether this is an import whose file was thrown away."""
    upload = run.params.get("upload")
    return upload is not None and not exists(upload)


def go_on(actor: Actor, run: Run, *, send: bool = True) -> Run:
    """Queue a run again that failed, was stopped or cancelled: from its recorded position, without its deadline; a count from its start.

    What it does twice because of that changes nothing. Without `send` the caller does it itself. Raises Busy while another one of
    its kind is under way, NotSupported.
    """
    require_control(actor, run)
    if run.state in UNFINISHED and file_is_gone(run):
        raise NotSupported(
            say("The file of this import is not here any more."),
            say("Import it again: what is in the store already is left as it is."),
        )
    if not can_go_on(run):
        raise NotSupported(say("Only a count, purge or bulk change that ended early can go on."), say("Start a new one."))
    counts = run.action == RunAction.CENSUS
    changes: dict[str, Any] = {
        "state": RunState.QUEUED,
        "active_key": f"{run.action}:{run.store_id}",
        "cancel_requested": False,
        "pause_requested": False,
        "attempts": 0,
        "error": "",
        "finished_at": None,
        "heartbeat_at": timezone.now(),
        "params": {name: value for name, value in run.params.items() if name != "until"},
        **(_ANEW if counts else {}),
    }
    try:
        with transaction.atomic():
            if not Run.objects.filter(pk=run.pk, state__in=UNFINISHED).update(**changes):
                raise NotSupported(say("The run has been started again already."))
            audit.record(actor, f"{run.action}-go-on", run.store or run.store_name, run=run)
    except IntegrityError:
        raise Busy(say("Another run of this kind is under way on store %(id)s.", id=run.store_name), say("Wait for its end.")) from None
    done = say("%(actor)s started the count again.", actor=actor.name)
    add_log(run.pk, done if counts else say("%(actor)s let it go on from its last position.", actor=actor.name))
    run.refresh_from_db()
    if send:
        queue(run)
    return run


def log_lines(run: Run) -> list[str]:
    """A run as lines of text: what it is, what was logged, its course."""
    lines = [
        f"run {run.pk}: {run.action} of {run.store_name}, {run.state}, pace {run.pace}, started by {run.started_by}",
        *(f"{moment:%Y-%m-%d %H:%M:%S %Z} {what}" for what, moment in _moments(run)),
    ]
    if run.error:
        lines.append(f"error: {run.error}")
    lines += [f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC {text}" for at, text in run.log]
    return lines + [f"after {seconds:.1f} s: {keys} keys read, longest step {worst} ms" for seconds, keys, worst in run.points]


def _moments(run: Run) -> list[tuple[str, datetime]]:
    found = (("created", run.created_at), ("started", run.started_at), ("ended", run.finished_at))
    return [(what, moment) for what, moment in found if moment is not None]


def change_pace(actor: Actor, run: Run, pace: Pace) -> Run:
    """Give a run another pace; one that is working takes it within a second. Raises NotSupported for one that has ended."""
    require_control(actor, run)
    if not Run.objects.filter(pk=run.pk, state__in=ACTIVE_STATES).update(pace=pace.value):
        raise NotSupported(say("The run has ended already."))
    audit.record(actor, f"{run.action}-pace", run.store or run.store_name, after={"pace": pace.value}, run=run)
    add_log(run.pk, say("%(actor)s changed the pace to %(pace)s.", actor=actor.name, pace=pace.value))
    run.refresh_from_db()
    return run
