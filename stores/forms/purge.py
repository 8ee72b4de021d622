"""Purging now, purging on a schedule."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from stores import cron
from stores.errors import BadConfig
from stores.forms.base import StyledForm
from stores.services.durations import next_time
from stores.types import Pace

PACES: Final = ((Pace.GENTLE.value, _("Gentle")), (Pace.NORMAL.value, _("Normal")), (Pace.FAST.value, _("Fast")))
REPEATS: Final = (("", _("Never")), ("hour", _("Every hour")), ("day", _("Every day")), ("week", _("Every week")))
WEEKDAYS: Final = tuple(
    (str(number), name)
    for number, name in enumerate(
        (_("Monday"), _("Tuesday"), _("Wednesday"), _("Thursday"), _("Friday"), _("Saturday"), _("Sunday")), start=1
    )
)
_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\Z")


class PaceForm(StyledForm):
    """How hard a purge may press on the store."""

    pace = forms.ChoiceField(label=_("Pace"), choices=PACES, initial=Pace.GENTLE.value, widget=forms.RadioSelect)

    until = forms.CharField(
        label=_("Stop at"),
        required=False,
        max_length=5,
        widget=forms.TextInput(attrs={"class": "form-control kv-w-num", "placeholder": "06:00", "autocomplete": "off"}),
    )

    def clean_until(self) -> datetime | None:
        """The next time the server's clock shows it; None for an empty field."""
        text = self.cleaned_data["until"]
        try:
            return next_time(text) if text else None
        except BadConfig as error:
            raise forms.ValidationError(error.said) from None

    @property
    def chosen(self) -> Pace:
        return Pace(self.cleaned_data["pace"])


class ScheduleForm(StyledForm):
    """One schedule in two forms: the picker, and the text as Stalwart writes it. `source` says which of them counts."""

    repeat = forms.ChoiceField(label=_("Repeat"), required=False, choices=REPEATS)
    weekday = forms.ChoiceField(label=_("On"), required=False, choices=WEEKDAYS)
    at = forms.CharField(
        label=_("At"),
        required=False,
        max_length=5,
        widget=forms.TextInput(attrs={"class": "form-control kv-w-num", "placeholder": "03:00"}),
    )
    frequency = forms.CharField(
        label=_("As Stalwart writes it"),
        required=False,
        max_length=64,
        widget=forms.TextInput(attrs={"class": "form-control kv-w-raw", "spellcheck": "false", "autocomplete": "off"}),
    )
    active = forms.BooleanField(label=_("Purge on schedule"), required=False)
    pace = forms.ChoiceField(label=_("Pace"), choices=PACES, required=False)
    source = forms.ChoiceField(required=False, choices=[("picker", "picker"), ("raw", "raw")])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("source") == "picker" and not self.errors:
            cleaned["frequency"] = self._picked(cleaned)
        elif cleaned.get("frequency"):
            try:
                cron.parse(cleaned["frequency"])
            except BadConfig as error:
                self.add_error("frequency", error.said)
        return cleaned

    def _picked(self, cleaned: dict[str, Any]) -> str:
        repeat = cleaned["repeat"]
        if not repeat:
            return ""
        clock = _CLOCK.match(cleaned["at"] or "03:00")
        if clock is None:
            self.add_error("at", _("Write a time such as 03:00."))
            return str(cleaned.get("frequency") or "")
        hour, minute = int(clock[1]), int(clock[2])
        if repeat == "hour":
            return str(cron.Cron(minute))
        return str(cron.Cron(minute, hour, int(cleaned["weekday"] or 1) if repeat == "week" else None))


def picker_of(frequency: str) -> dict[str, str]:
    """What the picker shows for a schedule; empty for one that is no schedule."""
    try:
        found = cron.parse(frequency)
    except BadConfig:
        return {"repeat": "", "weekday": "1", "at": "03:00"}
    repeat = "hour" if found.hour is None else "day" if found.weekday is None else "week"
    return {"repeat": repeat, "weekday": str(found.weekday or 1), "at": f"{found.hour or 0:02}:{found.minute:02}"}
