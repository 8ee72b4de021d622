"""Background runs: the row first, then the queue; one worker at a time holds a run, and a dead worker's run goes on elsewhere.

Who may write a running row is decided by `attempts`: each claim raises it, and whoever holds a lower one has lost the run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from celery import group, signature
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone
from kombu.exceptions import OperationalError

from stores import sight
from stores.errors import BadConfig, Busy, KeyNotFound, NotSupported
from stores.models import ACTIVE_STATES, Heartbeat, Run, RunAction, RunState, Store
from stores.registry import seen_only
from stores.services import audit
from stores.services.actor import SCHEDULE, Actor
from stores.services.permissions import Permission, require
from stores.texts import say
from stores.types import Pace

STALE: Final = timedelta(seconds=60)
"""A queued run that nobody took, or a running one without a sign of life, for this long goes back to the queue."""
MAX_ATTEMPTS: Final = 3
LOG_LINES: Final = 200
KEPT_RUNS: Final = 500
"""Finished runs kept for each store and action."""
KEPT_DAYS: Final = 400

TASKS: Final[Mapping[str, str]] = {
    RunAction.PURGE: "stores.tasks.run_purge",
    RunAction.CENSUS: "stores.tasks.run_census",
    RunAction.BULK: "stores.tasks.run_bulk",
    RunAction.TIDY: "stores.tasks.run_tidy",
}

ASSIST: Final[Mapping[str, str]] = {
    RunAction.PURGE: "stores.tasks.run_purge_parts",
    RunAction.CENSUS: "stores.tasks.run_census_parts",
}

WORKER: Final = "worker"
BEAT: Final = "beat"
ALIVE: Final = timedelta(seconds=90)
"""Silence of a part that is still no trouble."""


@dataclass(frozen=True, slots=True)
class RunPage:
    """Newest first. `next` is the cursor of the next page, empty at the end."""

    runs: tuple[Run, ...]
    next: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one sweep did, in numbers of runs."""

    queued_again: int = 0
    failed: int = 0
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class Background:
    """Whether tasks are being worked off: the worker writes a heartbeat whenever beat asks for one, every 20 seconds."""

    alive: bool
    last_seen: datetime | None
    queued: int
    """Runs that wait for a worker."""


def create(
    actor: Actor,
    store: Store,
    action: RunAction,
    *,
    pace: Pace = Pace.GENTLE,
    params: Mapping[str, Any] | None = None,
    due_at: datetime | None = None,
    id: UUID | None = None,
) -> Run:
    """A queued run's row, nothing sent yet; in the audit unless it counts by schedule.

    Raises Busy while another run of this action on this store is active.
    """
    run = Run(store=store, store_name=store.id, action=action, state=RunState.QUEUED, started_by=actor.name, pace=pace.value)
    run.params, run.due_at, run.active_key = dict(params or {}), due_at, f"{action}:{store.id}"
    if id is not None:
        run.id = id
    try:
        with transaction.atomic():
            run.save(force_insert=True)
            if action is not RunAction.CENSUS or actor.via != SCHEDULE:
                audit.record(actor, f"{action}-start", store, after={"pace": pace.value}, run=run)
    except IntegrityError:
        raise Busy(
            say("A %(action)s of store %(store_id)s is already under way.", action=action, store_id=store.id),
            say("Wait for its end or cancel it."),
        ) from None
    return run


def queue(run: Run) -> None:
    """Send the run to the workers when the present transaction is committed."""
    transaction.on_commit(partial(_send, run.pk, run.action))


def call_assistants(run: Run, number: int) -> None:
    """Ask so many other workers to take part in a run that can be shared; those that are busy come later, and may find nothing to do."""
    if number < 1:
        return
    try:
        group(signature(ASSIST[run.action], args=[str(run.pk)]) for _ in range(number)).apply_async()
    except OperationalError as error:
        add_log(run.pk, say("The message queue did not answer (%(kind)s); this worker goes on alone.", kind=type(error).__name__))


def find(run_id: UUID | str) -> Run:
    """Raises KeyNotFound for an id that is not of a run."""
    try:
        key = run_id if isinstance(run_id, UUID) else UUID(run_id)
    except ValueError:
        key = None
    run = Run.objects.select_related("store").filter(pk=key).first() if key else None
    if run is None or not sight.current().sees(run.store_name):
        raise KeyNotFound(say("There is no such run."), say("Old runs are removed in time."))
    return run


def history(store: Store | None = None, action: str = "", cursor: str = "", limit: int = 50) -> RunPage:
    """Runs of a store, of all without one; newest first, by keyset. Raises BadConfig(field="cursor")."""
    found = seen_only(Run.objects.select_related("store").order_by("-created_at", "-id"), "store_name")
    if store is not None:
        found = found.filter(store=store)
    if action:
        found = found.filter(action=action)
    if cursor:
        at = _moment(cursor)
        found = found.filter(created_at__lt=at)
    runs = list(found[: limit + 1])
    return RunPage(tuple(runs[:limit]), str(runs[limit - 1].created_at.timestamp()) if len(runs) > limit else "")


def active(store: Store | None = None, action: str = "") -> list[Run]:
    """Runs that are queued, running or paused, newest first."""
    found = seen_only(Run.objects.select_related("store").filter(state__in=ACTIVE_STATES), "store_name")
    if store is not None:
        found = found.filter(store=store)
    return list(found.filter(action=action) if action else found)


def latest(store: Store, action: str = RunAction.PURGE) -> Run | None:
    """The last finished run of a store."""
    return Run.objects.filter(store=store, action=action).exclude(state__in=ACTIVE_STATES).first()


def request_cancel(actor: Actor, run: Run) -> Run:
    """Ask a run to stop; what has been done stays done. A waiting run ends at once, a running one after its present slice."""
    require_control(actor, run)
    ended = Run.objects.filter(pk=run.pk, state__in=(RunState.QUEUED, RunState.PAUSED)).update(
        state=RunState.CANCELLED, cancel_requested=True, active_key=None, finished_at=timezone.now()
    )
    asked = ended or Run.objects.filter(pk=run.pk, state=RunState.RUNNING).update(cancel_requested=True)
    if not asked:
        raise NotSupported(say("The run has ended already."))
    audit.record(actor, f"{run.action}-cancel", run.store or run.store_name, run=run)
    add_log(run.pk, say("Cancelled by %(actor)s.", actor=actor.name))
    run.refresh_from_db()
    return run


def request_pause(actor: Actor, run: Run) -> Run:
    """Ask a running run to stop after its present slice and keep its place. Raises NotSupported for one that is not running."""
    require_control(actor, run)
    if run.action == RunAction.TIDY:
        raise NotSupported(say("Work on space cannot be paused."), say("Cancel it; it can be started anew."))
    if not Run.objects.filter(pk=run.pk, state=RunState.RUNNING).update(pause_requested=True):
        raise NotSupported(say("Only a running run can be paused."))
    audit.record(actor, f"{run.action}-pause", run.store or run.store_name, run=run)
    run.refresh_from_db()
    return run


def resume(actor: Actor, run: Run) -> Run:
    """Put a paused run back into the queue, from where it stopped. Raises NotSupported for one that is not paused."""
    require_control(actor, run)
    found = Run.objects.filter(pk=run.pk, state=RunState.PAUSED)
    if not found.update(state=RunState.QUEUED, pause_requested=False, heartbeat_at=timezone.now(), attempts=0):
        raise NotSupported(say("The run is not paused."))
    audit.record(actor, f"{run.action}-resume", run.store or run.store_name, run=run)
    run.refresh_from_db()
    queue(run)
    return run


def claim(run_id: UUID | str) -> Run | None:
    """Take a queued run for this process; None when it is not there, not queued any more, or another process was faster."""
    now = timezone.now()
    taken = Run.objects.filter(pk=run_id, state=RunState.QUEUED).update(
        state=RunState.RUNNING, attempts=F("attempts") + 1, heartbeat_at=now, started_at=Coalesce(F("started_at"), now), error=""
    )
    return Run.objects.select_related("store").get(pk=run_id) if taken else None


def claim_here(run: Run) -> Run:
    """Take a run that was just recorded, for this process. Raises Busy where a worker was faster."""
    taken = claim(run.pk)
    if taken is None:
        raise Busy(say("A worker has taken the run already."), say("Look at it under Runs."))
    return taken


def sweep() -> Sweep:
    """Send queued runs that nobody took, and take running ones away from workers that give no sign of life.

    After three attempts a run has failed. Safe to run twice at once: each step is one conditional update.
    """
    old = timezone.now() - STALE
    again = failed = cancelled = 0
    for run in Run.objects.filter(state=RunState.QUEUED, created_at__lt=old).exclude(heartbeat_at__gte=old):
        if _step(run, RunState.QUEUED, {"heartbeat_at": timezone.now()}):
            queue(run)
            again += 1
    for run in Run.objects.filter(state=RunState.RUNNING, heartbeat_at__lt=old):
        if run.cancel_requested:
            cancelled += _end(run, RunState.CANCELLED, "")
        elif run.attempts >= MAX_ATTEMPTS:
            failed += _end(run, RunState.FAILED, say("The worker disappeared %(attempts)s times.", attempts=run.attempts))
        elif _step(run, RunState.RUNNING, {"state": RunState.QUEUED, "heartbeat_at": timezone.now()}):
            add_log(
                run.pk, say("The worker disappeared; the run goes on from its last position. Counts of the last moment may be missing.")
            )
            queue(run)
            again += 1
    return Sweep(again, failed, cancelled)


def prune() -> int:
    """Drop finished runs beyond the newest 500 of each store and action, and those older than 400 days; answers how many."""
    done = Run.objects.exclude(state__in=ACTIVE_STATES)
    removed = done.filter(created_at__lt=timezone.now() - timedelta(days=KEPT_DAYS)).delete()[0]
    for store_name, action in done.order_by().values_list("store_name", "action").distinct():
        group = done.filter(store_name=store_name, action=action).order_by("-created_at")
        extra = list(group.values_list("pk", flat=True)[KEPT_RUNS : KEPT_RUNS + 1000])
        removed += Run.objects.filter(pk__in=extra).delete()[0] if extra else 0
    return removed


def record_unstarted(store: Store, action: RunAction, state: RunState, error: str, due_at: datetime, id: UUID | None = None) -> Run | None:
    """A scheduled run that was missed or could not start, for the history; None when the slot is on record already."""
    run = Run(store=store, store_name=store.id, action=action, state=state, started_by="schedule", error=error, due_at=due_at)
    run.finished_at = timezone.now()
    if id is not None:
        run.id = id
    if Run.objects.filter(store=store, action=action, due_at=due_at).exists():
        return None
    try:
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError:
        return None
    return run


def beat() -> None:
    """A sign of life of the workers, asked for by beat."""
    sign_of_life(WORKER)


def sign_of_life(name: str) -> None:
    """Record that a part of the installation is alive now."""
    Heartbeat.objects.update_or_create(pk=name, defaults={"at": timezone.now()})


def background() -> Background:
    """Whether beat and worker are alive, and how many runs wait."""
    seen = Heartbeat.objects.filter(pk=WORKER).values_list("at", flat=True).first()
    queued = Run.objects.filter(state=RunState.QUEUED).count()
    return Background(seen is not None and seen > timezone.now() - ALIVE, seen, queued)


def add_log(run_id: UUID, text: str) -> None:
    """Add a line to a run's log; the oldest of more than 200 lines go."""
    with transaction.atomic():
        run = Run.objects.select_for_update().filter(pk=run_id).first()
        if run is not None:
            run.log = [*run.log, [int(time.time()), text]][-LOG_LINES:]
            run.save(update_fields=["log"])


def eta_seconds(run: Run) -> float | None:
    """Seconds until the end at the present speed; None when that cannot be told."""
    if run.state != RunState.RUNNING or not run.progress or not run.seconds:
        return None
    return run.seconds * (1 - run.progress) / run.progress


def require_control(actor: Actor, run: Run) -> None:
    """Who may start such a run may also cancel, pause and resume it."""
    require(actor, Permission.BULK if run.action == RunAction.BULK else Permission.PURGE, run.store_name)


def _step(run: Run, state: RunState, changes: Mapping[str, Any]) -> bool:
    """Change a run only if nobody else has changed it since it was read."""
    found = Run.objects.filter(pk=run.pk, state=state, attempts=run.attempts, heartbeat_at=run.heartbeat_at)
    return bool(found.update(**changes))


def _end(run: Run, state: RunState, error: str) -> int:
    changes = {"state": state, "error": error, "active_key": None, "finished_at": timezone.now()}
    return int(_step(run, RunState.RUNNING, changes))


def _moment(cursor: str) -> datetime:
    try:
        return datetime.fromtimestamp(float(cursor), UTC)
    except (ValueError, OverflowError, OSError):
        raise BadConfig(say("This page link is not of the runs."), say("Start again from the first page."), "cursor") from None


def _send(run_id: UUID, action: str) -> None:
    """A broker that does not answer loses nothing: the row stays queued and the sweeper sends it again."""
    try:
        signature(TASKS[action], args=[str(run_id)]).apply_async()
    except OperationalError as error:
        add_log(
            run_id,
            say("The message queue did not answer (%(name)s); the run is sent again within a minute or two.", name=type(error).__name__),
        )
