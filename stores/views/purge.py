"""The purge page of a store: what waits, purge now, the schedule, what earlier purges did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from stores import keyclasses
from stores.errors import BadConfig, StoreError
from stores.forms.keys import OWN_KEYS
from stores.forms.purge import PACES, PaceForm, ScheduleForm, picker_of
from stores.models import Census, Run, RunAction, RunState, Store
from stores.services import census as censuses
from stores.services import purge as purges
from stores.services import runs, schedules
from stores.services.abilities import abilities
from stores.services.permissions import Permission
from stores.views.common import actor_of, go, needs, show, store_page

TEMPLATE = "stores/purge.html"
SHOWN = 8
HISTORY = 28


@dataclass(frozen=True, slots=True)
class Waiting:
    """Expired keys of one class."""

    slug: str
    byte: str
    title: str
    keys: int
    rows: int
    bytes: int


@require_safe
@store_page
def purge(request: HttpRequest, store: Store) -> HttpResponse:
    """Everything about purging one store; a schedule in the address is shown, not saved."""
    asked = bool(request.GET.get("source"))
    form = ScheduleForm(request.GET) if asked else ScheduleForm(initial=saved_schedule(store))
    if asked and request.headers.get("HX-Target") == "schedule":
        return show(request, TEMPLATE, schedule_context(store, form), fragment="schedule", status=200 if form.is_valid() else 400)
    if request.headers.get("HX-Target") == "now":
        return _while_running(request, store, form)
    return show(request, TEMPLATE, schedule_context(store, form) | now_context(request, store) | past_context(store))


def _while_running(request: HttpRequest, store: Store, form: ScheduleForm) -> HttpResponse:
    """The panel that asks while a purge runs. Once it has ended the whole page is drawn anew, as what waits and the history changed too;
    only the schedule stays, because somebody may be typing in it.
    """
    now = now_context(request, store)
    if now["run"] is not None:
        return show(request, TEMPLATE, now, fragment="now")
    response = show(request, TEMPLATE, schedule_context(store, form) | now | past_context(store) | {"schedule_stays": True})
    response["HX-Retarget"] = response["HX-Reselect"] = "#main"
    response["HX-Reswap"] = "outerHTML show:none"
    return response


@require_POST
@store_page
@needs(Permission.PURGE)
def purge_start(request: HttpRequest, store: Store) -> HttpResponse:
    """Start a purge at the chosen pace."""
    form = PaceForm(request.POST)
    if not form.is_valid():
        wrong = " ".join(str(problem) for problem in form.errors.get("until", []))
        raise BadConfig(wrong or _("Choose a pace: gentle, normal or fast."), field="until" if wrong else "pace")
    purges.start(actor_of(request), store, form.chosen, until=form.cleaned_data["until"])
    if request.headers.get("HX-Request"):
        return show(request, TEMPLATE, now_context(request, store), fragment="now")
    return go(request, reverse("stores:purge", args=[store.pk]), _("A purge of %(store_id)s has started.") % {"store_id": store.pk})


@require_POST
@store_page
@needs(Permission.CONFIGURE)
def schedule(request: HttpRequest, store: Store) -> HttpResponse:
    """Save the schedule. One that cannot be read changes nothing."""
    form = ScheduleForm(request.POST)
    if form.is_valid():
        wanted = form.cleaned_data
        try:
            schedules.set_schedule(actor_of(request), store, wanted["frequency"], not wanted["active"], wanted["pace"])
        except BadConfig as error:
            form.add_error("frequency", error.said)
        else:
            return go(request, reverse("stores:purge", args=[store.pk]), _saved(store))
    context = schedule_context(store, form)
    if not request.headers.get("HX-Request"):
        context |= now_context(request, store) | past_context(store)
    return show(request, TEMPLATE, context, fragment="schedule", status=422)


def _saved(store: Store) -> str:
    """What has been saved, in words."""
    if not store.purge_frequency:
        return _("%(store_id)s has no purge schedule any more.") % {"store_id": store.pk}
    if store.purge_paused:
        return _("The schedule of %(store_id)s is saved and paused.") % {"store_id": store.pk}
    words = schedules.describe(store.purge_frequency).words
    return _("%(store_id)s is purged %(words)s%(words_2)s.") % {"store_id": store.pk, "words": words[0].lower(), "words_2": words[1:]}


def saved_schedule(store: Store) -> dict[str, Any]:
    """The present schedule for both the picker and the raw field."""
    saved = {"frequency": store.purge_frequency, "active": not store.purge_paused, "pace": store.purge_pace}
    return {**picker_of(store.purge_frequency), **saved} if store.purge_frequency else {**saved, "weekday": "1", "at": "03:00"}


def schedule_context(store: Store, form: ScheduleForm) -> dict[str, Any]:
    """The form with both sides in step, and what the schedule means."""
    shown = form
    frequency = form.initial.get("frequency", "")
    if form.is_bound:
        frequency = form.cleaned_data.get("frequency", "") if form.is_valid() else form.data.get("frequency", "")
        if form.is_valid():
            shown = ScheduleForm(initial={**form.cleaned_data, **(picker_of(frequency) if frequency else {"repeat": ""})})
    changed = form.is_bound and (frequency, bool(form.data.get("active"))) != (store.purge_frequency, not store.purge_paused)
    meaning = schedules.describe(frequency, store=store) if frequency and not form.errors else None
    return {"store": store, "form": shown, "frequency": frequency, "meaning": meaning, "changed": changed}


def now_context(request: HttpRequest, store: Store) -> dict[str, Any]:
    """What waits, from the last census, and the purge that is under way."""
    census = censuses.latest(store)
    preview = purges.preview_of(census) if census and "expired" in census.details else None
    lines = waiting(preview) if preview else []
    refusal = ""
    try:
        refusal = abilities(store, actor_of(request)).purges
    except StoreError as error:
        refusal = error.said
    run = next(iter(runs.active(store, RunAction.PURGE)), None)
    return {
        "store": store,
        "census": census,
        "preview": preview,
        "lines": lines[:SHOWN],
        "more": lines[SHOWN:],
        "keys": sum(line.keys for line in lines),
        "rows": sum(line.rows for line in lines),
        "all_keys": _keys(census) if census else 0,
        "refusal": refusal,
        "run": run,
        "last": runs.latest(store, RunAction.PURGE),
        "paces": pace_lines(store),
        "stale": _purged_since(store, census),
    }


def past_context(store: Store) -> dict[str, Any]:
    """The last purges."""
    past = list(Run.objects.filter(store=store, action=RunAction.PURGE, finished_at__isnull=False)[:HISTORY])
    return {"past": past, "shown_past": past[:6]}


def pace_lines(store: Store) -> list[dict[str, Any]]:
    """Each pace with what its last purge of this store needed; one query a pace."""
    done = Run.objects.filter(store=store, action=RunAction.PURGE, state=RunState.DONE)
    return [{"value": value, "label": label, "last": done.filter(pace=value).first()} for value, label in PACES]


def waiting(preview: purges.Preview) -> list[Waiting]:
    """Expired keys by class, the most first. A counter is two rows: its number and its expiry."""
    found = []
    for row in preview.classes:
        known = keyclasses.CLASSES.get(row["class"] or "")
        keys = row["values"] + row["counters"] + row["locks"]
        byte = f"{known.byte:02x}" if known and known.byte is not None else ""
        title = known.title if known else row["class"] or str(OWN_KEYS)
        found.append(Waiting(row["class"] or keyclasses.CUSTOM_SLUG, byte, title, keys, keys + row["counters"], row["bytes"]))
    return sorted(found, key=lambda line: line.keys, reverse=True)


def _keys(census: Census) -> int:
    return int(census.total["keys"] + census.total["counters"] + census.total["locks"])


def _purged_since(store: Store, census: Census | None) -> Run | None:
    """A purge that ended after the census began: the figures are from before it. The census' own time is a whole second."""
    last = runs.latest(store, RunAction.PURGE)
    if census is None or last is None or not last.removed or last.finished_at is None:
        return None
    began = (census.run.started_at if census.run else None) or census.at
    return last if last.finished_at > began else None
