"""What to do with all keys of a filter, and its confirmation."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from stores.errors import BadConfig
from stores.forms.base import StyledForm
from stores.forms.purge import PACES
from stores.models import Store
from stores.registry import visible_stores
from stores.services.bulk_change import Change, Clash, Do, make_change
from stores.services.filters import KeyFilter
from stores.types import Pace

EXPORT = "export"
DOS = (
    (Do.DELETE.value, _("Delete")),
    (Do.EXPIRY.value, _("Set expiry")),
    (Do.COPY.value, _("Copy")),
    (Do.MOVE.value, _("Move")),
    (EXPORT, _("Export")),
)
CLASHES = (
    (Clash.SKIP.value, _("leave that one, copy the others")),
    (Clash.OVERWRITE.value, _("overwrite it; the old row goes to the trash")),
    (Clash.FAIL.value, _("stop at the first such key")),
)


class BulkForm(StyledForm):
    """The change, in the address beside the filter: a dry run can be reloaded and sent to a colleague."""

    do = forms.ChoiceField(label=_("What"), choices=DOS, required=False, widget=forms.RadioSelect)
    ttl = forms.CharField(
        label=_("New expiry"),
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"placeholder": "2 days", "autocomplete": "off"}),
        help_text=_('From now ("2 days", "1h30m"), a time ("2030-01-31 18:00") or "never".'),
    )
    to = forms.ChoiceField(label=_("To the store"), required=False)
    clash = forms.ChoiceField(label=_("A key that is there already"), required=False, choices=CLASHES)
    keep = forms.BooleanField(label=_("Keep copies in the trash, so that it can be undone"), required=False)

    def __init__(self, query: QueryDict, store: Store) -> None:
        data = query.dict()
        if "do" not in data:
            data["keep"] = "on"
        super().__init__(data, auto_id="bulk-%s")
        others = visible_stores().exclude(pk=store.pk).exclude(type__in=("static", "http")).filter(enabled=True, read_only=False)
        ids = others.values_list("pk", flat=True)
        self.fields["to"].choices = [("", _("Choose a store")), *((name, name) for name in ids)]  # type: ignore[attr-defined]
        self.has_others = bool(ids)

    def change(self, filter: KeyFilter, now: float) -> Change | None:
        """The change that is asked for; None for none, for an export, and for one that has errors."""
        if not self.is_valid() or self.cleaned_data["do"] in ("", EXPORT):
            return None
        wanted: dict[str, Any] = self.cleaned_data
        clash = Clash(wanted["clash"] or Clash.SKIP)
        try:
            return make_change(Do(wanted["do"]), filter, now, expiry=wanted["ttl"], to=wanted["to"], clash=clash, undo=wanted["keep"])
        except BadConfig as error:
            self.add_error({"expiry": "ttl"}.get(error.field, error.field) or None, error.said)
            return None


class ConfirmForm(StyledForm):
    """The sealed dry run, the typed count and the pace."""

    token = forms.CharField(max_length=65_536)
    count = forms.CharField(
        label=_("Type the count to confirm"),
        max_length=30,
        required=False,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )
    pace = forms.ChoiceField(choices=PACES)

    @property
    def chosen(self) -> Pace:
        return Pace(self.cleaned_data["pace"])
