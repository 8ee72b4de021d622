"""Filters of the lists of runs, trash and audit, and what is picked in them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from stores import keyclasses
from stores.forms.base import StyledForm
from stores.forms.keys import OWN_KEYS
from stores.models import RunAction, Store
from stores.registry import visible_stores
from stores.services import audit_search


class StoreChoiceForm(StyledForm):
    """A filter by store, and where the page goes on."""

    store = forms.ChoiceField(label=_("Store"), required=False)
    cursor = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(self, query: QueryDict) -> None:
        super().__init__(query, auto_id="filter-%s")
        ids = visible_stores().values_list("pk", flat=True)
        self.fields["store"].choices = [("", _("Any store")), *((name, name) for name in ids)]  # type: ignore[attr-defined]

    def query(self) -> dict[str, str]:
        """The filter as parameters of an address, without the cursor."""
        return {name: str(value) for name, value in self.cleaned_data.items() if value and name != "cursor"}


class RunFilterForm(StoreChoiceForm):
    action = forms.ChoiceField(
        label=_("What"),
        required=False,
        choices=[
            ("", _("All runs")),
            (RunAction.PURGE, _("Purges")),
            (RunAction.CENSUS, _("Counts")),
            (RunAction.BULK, _("Bulk changes")),
            (RunAction.TIDY, _("Tidying")),
        ],
    )


class TrashFilterForm(StoreChoiceForm):
    slug = forms.ChoiceField(label=_("Class"), required=False)
    shown = forms.ChoiceField(
        label=_("Show"), required=False, choices=[("", _("Can be restored")), ("all", _("All")), ("restored", _("Restored already"))]
    )

    run = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, query: QueryDict) -> None:
        super().__init__(query)
        classes = sorted(keyclasses.CLASSES.items(), key=lambda item: item[1].order)
        choices = [("", _("Any class")), *((slug, found.title) for slug, found in classes if slug != "custom"), ("custom", OWN_KEYS)]
        self.fields["slug"].choices = choices  # type: ignore[attr-defined]

    @property
    def restored(self) -> bool | None:
        return {"all": None, "restored": True}.get(self.cleaned_data["shown"], False)


class AuditFilterForm(StoreChoiceForm):
    """Stores that are gone can be asked for too."""

    actor = forms.CharField(label=_("Who"), required=False, max_length=150, widget=forms.TextInput(attrs={"placeholder": _("Anybody")}))
    slug = forms.ChoiceField(label=_("Class"), required=False)
    group = forms.ChoiceField(
        label=_("What"),
        required=False,
        choices=[
            ("", _("Anything")),
            ("keys", _("Single keys")),
            ("bulk", _("Many keys at once")),
            ("runs", _("Purges and counts")),
            ("secrets", _("Reveals and exports")),
            ("settings", _("Stores and settings")),
            ("server", _("Mail server")),
            ("accounts", _("Sign-ins and accounts")),
            ("audit", _("The audit itself")),
        ],
    )
    outcome = forms.ChoiceField(
        label=_("Outcome"),
        required=False,
        choices=[
            ("", _("Any outcome")),
            ("done", _("Done")),
            ("refused", _("Refused")),
            ("failed", _("Failed")),
            ("started", _("Not known")),
        ],
    )
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    text = forms.CharField(
        label=_("Text"), required=False, max_length=200, widget=forms.TextInput(attrs={"placeholder": _("Key, address, value ...")})
    )

    def __init__(self, query: QueryDict) -> None:
        super().__init__(query)
        ids = sorted({*audit_search.gone_stores(), *Store.objects.values_list("pk", flat=True)})
        self.fields["store"].choices = [("", _("Any store")), *((name, name) for name in ids)]  # type: ignore[attr-defined]
        classes = sorted(keyclasses.CLASSES.items(), key=lambda item: item[1].order)
        choices = [("", _("Any class")), *((slug, found.title) for slug, found in classes if slug != "custom"), ("custom", OWN_KEYS)]
        self.fields["slug"].choices = choices  # type: ignore[attr-defined]

    @property
    def wanted(self) -> audit_search.Wanted:
        """The filter; days are of the server's zone, the last one included."""
        data = self.cleaned_data
        since, until = (_midnight(data["since"]), _midnight(data["until"], 1))
        return audit_search.Wanted(
            data["store"], data["actor"], data["slug"], data["group"], data["outcome"], since, until, data["text"].strip()
        )

    @property
    def folded(self) -> list[forms.BoundField]:
        """The fields that are folded away."""
        return [self[name] for name in ("group", "slug", "outcome", "since", "until")]

    @property
    def unfolded(self) -> bool:
        """Whether one of them is used."""
        return any(field.value() for field in self.folded)


def _midnight(day: date | None, later: int = 0) -> datetime | None:
    if day is None or not 1970 <= day.year <= 9000:
        return None
    return timezone.make_aware(datetime.combine(day + timedelta(days=later), time.min))


class RestoreForm(forms.Form):
    """Things of the trash to put back; over newer values only when told."""

    LIMIT = 500
    overwrite = forms.BooleanField(required=False)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.raw = data.getlist("pick")

    def clean(self) -> dict[str, Any]:
        if not self.raw:
            raise forms.ValidationError(_("Nothing is selected."))
        if len(self.raw) > self.LIMIT or not all(text.isascii() and text.isdigit() and len(text) < 19 for text in self.raw):
            raise forms.ValidationError(_("Select at most %(limit)s lines of the list.") % {"limit": self.LIMIT})
        self.ids = [int(text) for text in self.raw]
        return self.cleaned_data
