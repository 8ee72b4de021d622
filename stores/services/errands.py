"""Errands: questions over the network that a worker asks while the page polls for the answer.

A page never waits for another machine's answer: it writes down what is to be asked, and a worker asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from celery import signature
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from stores.errors import BadConfig, KeyNotFound, StoreError
from stores.models import Errand, ErrandState, Store
from stores.services import audit, permissions, previews, server_import
from stores.services.actor import Actor
from stores.services.permissions import Permission

TASK: Final = "stores.tasks.do_errand"
PREVIEW: Final = "preview"
TEST: Final = "test"
ASK_SERVER: Final = "ask-server"

WORK: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    PREVIEW: previews.preview,
    TEST: previews.test,
    ASK_SERVER: server_import.ask_by_params,
}
"""What each kind does with its parameters; it changes nothing anywhere, so one that is lost can be asked again."""

KEPT: Final = timedelta(hours=1)
UNTAKEN: Final = timedelta(seconds=30)
"""After so long without a worker an errand counts as failed."""
LOST: Final = timedelta(seconds=120)
"""After so long at work it does too: no errand takes as long."""


def send(actor: Actor, kind: str, params: Mapping[str, Any]) -> Errand:
    """Write an errand down and wake a worker. `params` are JSON and stay encrypted; the queue carries only the id."""
    with transaction.atomic():
        errand = Errand(kind=kind, asked_by=actor.name)
        errand.params = dict(params)
        errand.save(force_insert=True)
        transaction.on_commit(partial(_wake, errand.pk))
    return find(actor, errand.pk)


def ask_server(actor: Actor, access: server_import.Access, *, keep: bool = False) -> Errand:
    """Have a mail server asked for its configuration. `keep`: the answer brings the credential back, for whoever keeps it then.

    Raises Forbidden. Audited, the credential left out.
    """
    permissions.require(actor, Permission.CONFIGURE)
    audit.record(actor, "server-ask", after={"url": access.url, "user": access.user})
    return send(actor, ASK_SERVER, {**asdict(access), "keep": keep})


def preview_list(actor: Actor, settings: Mapping[str, str]) -> Errand:
    """Have the beginning of an HTTP lookup's list fetched, nothing saved. Raises Forbidden, and BadConfig that names the setting."""
    permissions.require(actor, Permission.CONFIGURE)
    return send(actor, PREVIEW, {"settings": previews.checked(settings)})


def test(actor: Actor, store: Store) -> Errand:
    """Have the connection test of a store done that asks other machines for seconds."""
    return send(actor, TEST, {"store": store.pk})


def _wake(errand_id: UUID) -> None:
    try:
        signature(TASK, args=(str(errand_id),)).apply_async()
    except OperationalError:
        message = _("The queue of background work does not answer.")
        _end(errand_id, state=ErrandState.FAILED, message=message, fix=_("Look at the broker and the worker, then try again."))


def find(actor: Actor, errand_id: UUID) -> Errand:
    """An errand of this actor, lost ones as failed. Raises KeyNotFound for any other."""
    found = Errand.objects.filter(pk=errand_id, asked_by=actor.name).first()
    if found is None:
        raise KeyNotFound(_("There is no such question any more."), _("Ask again; answers are kept for an hour."))
    now = timezone.now()
    if found.state == ErrandState.WAITING and now - found.created_at > UNTAKEN:
        found.state, found.message = ErrandState.FAILED, _("No worker has taken this up.")
        found.fix = _("Look whether the worker runs, or wait until it has finished what it does.")
    elif found.state == ErrandState.RUNNING and now - (found.started_at or found.created_at) > LOST:
        found.state, found.message, found.fix = ErrandState.FAILED, _("The worker stopped in the middle of this."), _("Ask again.")
    return found


def of(actor: Actor, errand_id: str) -> Errand | None:
    """An errand of this actor by an id from outside; None for what is no id or no errand of it."""
    try:
        return find(actor, UUID(errand_id))
    except (ValueError, KeyNotFound):
        return None


def forget_old() -> int:
    """Delete errands of more than an hour ago, answers included; how many. One query."""
    return Errand.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]


def execute(errand_id: str) -> None:
    """Do an errand; a repeated message does nothing. A StoreError is its answer."""
    claimed = Errand.objects.filter(pk=errand_id, state=ErrandState.WAITING)
    if not claimed.update(state=ErrandState.RUNNING, started_at=timezone.now()):
        return
    errand = Errand.objects.get(pk=errand_id)
    try:
        result = WORK[errand.kind](errand.params)
    except StoreError as error:
        field = error.field if isinstance(error, BadConfig) else ""
        _end(errand.pk, state=ErrandState.FAILED, message=error.message, fix=error.fix, field=field[:60])
    else:
        _end(errand.pk, state=ErrandState.DONE, result=result)


def _end(errand_id: UUID, **changes: Any) -> None:
    """Write the answer and forget what was asked, credentials included."""
    Errand.objects.filter(pk=errand_id).update(params={}, **changes)
