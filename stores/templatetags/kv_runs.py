"""Runs in words and as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, gettext_lazy

from stores.models import Run, RunAction, RunState
from stores.services.bulk_record import Record
from stores.services.purge_parts import PartLine
from stores.services.recall import recalled
from stores.services.runs import eta_seconds
from stores.templatetags import words
from stores.templatetags.kv import dot, icon

register = template.Library()

MARKS: Final = {
    RunState.DONE: ("check", "ok", gettext_lazy("done")),
    RunState.FAILED: ("x", "bad", gettext_lazy("failed")),
    RunState.MISSED: ("alert-triangle", "warn", gettext_lazy("missed")),
    RunState.CANCELLED: ("ban", "", gettext_lazy("cancelled")),
    RunState.STOPPED: ("player-stop", "warn", gettext_lazy("stopped at its deadline")),
    RunState.QUEUED: ("clock", "", gettext_lazy("waiting")),
    RunState.RUNNING: ("player-play", "", gettext_lazy("running")),
    RunState.PAUSED: ("player-pause", "warn", gettext_lazy("paused")),
}
NAMES: Final = {
    RunAction.PURGE: gettext_lazy("Purge"),
    RunAction.CENSUS: gettext_lazy("Count"),
    RunAction.BULK: gettext_lazy("Bulk change"),
    RunAction.TIDY: gettext_lazy("Tidying"),
}

_BULK: Final = {
    "delete": gettext_lazy("Bulk delete"),
    "expiry": gettext_lazy("New expiry"),
    "copy": gettext_lazy("Copy"),
    "move": gettext_lazy("Move"),
    "import": gettext_lazy("Import"),
    "restore": gettext_lazy("Undo"),
}
"""Names of bulk changes by what they do."""
_PAST: Final = {
    "delete": gettext_lazy("deleted"),
    "expiry": gettext_lazy("changed"),
    "copy": gettext_lazy("copied"),
    "move": gettext_lazy("moved"),
    "import": gettext_lazy("imported"),
    "restore": gettext_lazy("restored"),
}


@register.simple_tag
def run_icon(run: Run) -> SafeString:
    """The state of a run as an icon that is read aloud."""
    name, kind, label = MARKS[RunState(run.state)]
    return icon(name, str(label), f"kv-is-{kind}" if kind else "kv-muted")


@register.simple_tag
def run_tag(run: Run) -> SafeString:
    """The state of a run as a small word."""
    _, kind, label = MARKS[RunState(run.state)]
    shown = {"ok": " is-ok", "bad": " is-bad", "warn": " is-warn"}.get(kind, " is-accent" if run.state == RunState.RUNNING else "")
    return format_html('<span class="kv-tag{}">{}</span>', shown, label)


@register.filter
def run_name(run: Run) -> str:
    """`Purge of memstore`."""
    return gettext("%(what)s of %(store)s") % {
        "what": _BULK.get(run.params.get("do", ""), NAMES[RunAction(run.action)]),
        "store": run.store_name,
    }


@register.filter
def pace_word(pace: str) -> str:
    """How fast a run goes, in the reader's language."""
    return {"gentle": gettext("gentle"), "normal": gettext("normal"), "fast": gettext("fast")}.get(pace, pace)


@register.filter
def bulk_past(run: Run) -> str:
    """What a bulk change does to its keys, as done: `deleted`."""
    return str(_PAST.get(run.params.get("do", ""), gettext("done")))


@register.filter
def is_active(run: Run) -> bool:
    """Whether the run is not over."""
    return not RunState(run.state).finished


@register.filter
def run_result(run: Run) -> str:
    """What a run did, or why not, in one line."""
    state = RunState(run.state)
    if state in (RunState.FAILED, RunState.MISSED):
        return recalled(run.error) or gettext("no reason is on record")
    if state is RunState.QUEUED:
        return gettext("waits for a worker")
    if run.action == RunAction.BULK:
        return _bulk_result(run, state)
    if run.action == RunAction.TIDY:
        done = gettext("gave %(size)s back") % {"size": words.size(run.bytes)}
        return gettext("%(done)s before it was cancelled") % {"done": done} if state is RunState.CANCELLED else done
    counts = run.action == RunAction.CENSUS
    done = (
        gettext("counted %(keys)s") % {"keys": words.plural(run.scanned, "key")}
        if counts
        else gettext("removed %(keys)s") % {"keys": words.plural(run.removed, "key")}
    )
    if state is RunState.STOPPED:
        return gettext("%(done)s before it stopped at its time") % {"done": done}
    if state is RunState.CANCELLED:
        return gettext("%(done)s before it was cancelled") % {"done": done}
    if run.corrupt and not counts:
        return gettext("%(done)s, went around %(rows)s") % {"done": done, "rows": words.plural(run.corrupt, "malformed row")}
    return (
        done
        if counts or not run.longest_ms
        else gettext("%(done)s, longest step %(longest_ms)s") % {"done": done, "longest_ms": words.milliseconds(run.longest_ms)}
    )


def _bulk_result(run: Run, state: RunState) -> str:
    record = Record.of(run)
    # Translators: what was done, as in "deleted 3 keys".
    done = gettext("%(past)s %(keys)s") % {"past": bulk_past(run), "keys": words.plural(record.done, "key")}
    left = record.kept + record.failed + record.skipped
    done += gettext(", left %(left)s") % {"left": words.count(left)} if left else ""
    return gettext("%(done)s before it was cancelled") % {"done": done} if state is RunState.CANCELLED else done


@register.filter
def run_told(run: Run) -> str:
    """What a run did and how long it took: `removed 371,502 keys in 6.2 s, longest step 17 ms`."""
    done, comma, rest = run_result(run).partition(", ")
    if not (run.seconds and run.state == RunState.DONE):
        return done + comma + rest
    return (gettext("%(done)s in %(seconds)s") % {"done": done, "seconds": words.seconds(run.seconds)}) + comma + rest


@register.filter
def run_progress(run: Run) -> str:
    """How far it is: `6,204 keys read, 8,140 a second, about 7 min left`."""
    if run.action == RunAction.TIDY:
        return gettext("works on the space of the store")
    parts = [gettext("%(keys)s read") % {"keys": words.plural(run.scanned, "key")}]
    if run.action == RunAction.PURGE:
        parts.append(gettext("%(removed)s removed") % {"removed": words.count(run.removed)})
    if run.action == RunAction.BULK:
        parts.append(gettext("%(count)s %(past)s") % {"count": words.count(Record.of(run).done), "past": bulk_past(run)})
    if run.seconds >= 1 and run.scanned:
        parts.append(gettext("%(scanned)s a second") % {"scanned": words.count(round(run.scanned / run.seconds))})
    left = eta_seconds(run)
    if left is not None:
        parts.append(gettext("about %(left)s left") % {"left": words.span(left)})
    return ", ".join(parts)


@register.simple_tag
def progress(run: Run, classes: str = "") -> SafeString:
    """A real progress bar; without a known share it says that it is working."""
    label = run_name(run)
    if run.progress is None:
        return format_html('<progress class="kv-progress {}" aria-label="{}"></progress>', classes, label)
    share = round(100 * min(1.0, run.progress))
    bar = '<progress class="kv-progress {}" value="{}" max="100" aria-label="{}">{} %</progress>'
    return format_html(bar, classes, share, label, share)


@register.filter
def run_share(run: Run) -> str:
    """`64 %`; nothing while it is not known."""
    return "" if run.progress is None else f"{100 * min(1.0, run.progress):.0f} %"


@register.simple_tag
def part_state(part: PartLine) -> SafeString:
    """`done`, `64 %, at work` or `64 %, waiting`, with a dot."""
    share = f"{100 * part.progress:.0f} %"
    text = {
        "done": gettext("done"),
        "working": gettext("%(share)s, at work") % {"share": share},
        "waiting": gettext("%(share)s, waiting") % {"share": share},
    }[part.state]
    return format_html("{} {}", dot("ok" if part.state == "done" else "off"), text)


@register.simple_tag
def run_chart(runs: Sequence[Run]) -> SafeString:
    """Keys removed by each run, oldest left. Failed ones are bad, missed ones an outline."""
    shown = list(reversed(runs))
    if len(shown) < 2:
        return mark_safe("")
    top, step = max(1, *(run.removed for run in shown)), 860 / max(28, len(shown))
    bars = [_bar(run, 4 + index * step, step - 8, top) for index, run in enumerate(shown)]
    total = sum(run.removed for run in shown)
    label = gettext("Keys removed by the last %(count)s runs: %(total)s in all, at most %(top)s at once") % {
        "count": len(shown),
        "total": words.count(total),
        "top": words.count(top),
    }
    failed = sum(run.state in (RunState.FAILED, RunState.MISSED) for run in shown)
    label += gettext("; %(failed)s failed or were missed") % {"failed": failed} if failed else ""
    first, last = (run.started_at or run.created_at for run in (shown[0], shown[-1]))
    return format_html(
        '<svg class="kv-chart is-long" viewBox="0 0 860 88" role="img" aria-label="{}">{}'
        '<line class="ax" x1="0" x2="860" y1="70.5" y2="70.5"/>'
        '<text x="4" y="84">{}</text><text x="{}" y="84" text-anchor="end">{}</text></svg>',
        label,
        format_html_join("", '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="1.5"/>', bars),
        words.day(first),
        f"{max(120, 4 + len(shown) * step - 8):.0f}",
        words.day(last),
    )


def _bar(run: Run, x: float, width: float, top: int) -> tuple[str, str, str, str, str]:
    height = max(2.0, 62 * run.removed / top)
    kind = {RunState.FAILED: "b-bad", RunState.MISSED: "miss"}.get(RunState(run.state), "b" if run.removed else "b-soft")
    if kind == "miss":
        height = 24.0
    return kind, f"{x:.1f}", f"{70 - height:.1f}", f"{width:.1f}", f"{height:.1f}"
