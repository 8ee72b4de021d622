"""Filters of the lists of runs, trash and audit, and what is picked in them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict

from stores import keyclasses
from stores.forms.base import StyledForm
from stores.forms.keys import OWN_KEYS
from stores.models import AuditEntry, RunAction, Store


class StoreChoiceForm(StyledForm):
    """A filter by store, and where the page goes on."""

    store = forms.ChoiceField(label="Store", required=False)
    cursor = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(self, query: QueryDict) -> None:
        super().__init__(query, auto_id="filter-%s")
        ids = Store.objects.values_list("pk", flat=True)
        self.fields["store"].choices = [("", "Any store"), *((name, name) for name in ids)]  # type: ignore[attr-defined]

    def query(self) -> dict[str, str]:
        """The filter as parameters of an address, without the cursor."""
        return {name: str(value) for name, value in self.cleaned_data.items() if value and name != "cursor"}


class RunFilterForm(StoreChoiceForm):
    action = forms.ChoiceField(
        label="What",
        required=False,
        choices=[("", "All runs"), (RunAction.PURGE, "Purges"), (RunAction.CENSUS, "Counts"), (RunAction.BULK, "Bulk changes")],
    )


class TrashFilterForm(StoreChoiceForm):
    slug = forms.ChoiceField(label="Class", required=False)
    shown = forms.ChoiceField(
        label="Show", required=False, choices=[("", "Can be restored"), ("all", "All"), ("restored", "Restored already")]
    )

    run = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def __init__(self, query: QueryDict) -> None:
        super().__init__(query)
        classes = sorted(keyclasses.CLASSES.items(), key=lambda item: item[1].order)
        choices = [("", "Any class"), *((slug, found.title) for slug, found in classes if slug != "custom"), ("custom", OWN_KEYS)]
        self.fields["slug"].choices = choices  # type: ignore[attr-defined]

    @property
    def restored(self) -> bool | None:
        return {"all": None, "restored": True}.get(self.cleaned_data["shown"], False)


class AuditFilterForm(StoreChoiceForm):
    """Stores that are gone can be asked for too, so the id is free text."""

    actor = forms.CharField(label="Who", required=False, max_length=150, widget=forms.TextInput(attrs={"placeholder": "Anybody"}))
    outcome = forms.ChoiceField(
        label="Outcome", required=False, choices=[("", "Any outcome"), ("done", "Done"), ("refused", "Refused"), ("failed", "Failed")]
    )

    def __init__(self, query: QueryDict) -> None:
        super().__init__(query)
        gone = AuditEntry.objects.exclude(store_name="").order_by("store_name").values_list("store_name", flat=True).distinct()[:200]
        ids = sorted({*gone, *Store.objects.values_list("pk", flat=True)})
        self.fields["store"].choices = [("", "Any store"), *((name, name) for name in ids)]  # type: ignore[attr-defined]


class RestoreForm(forms.Form):
    """Things of the trash to put back; over newer values only when told."""

    LIMIT = 500
    overwrite = forms.BooleanField(required=False)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.raw = data.getlist("pick")

    def clean(self) -> dict[str, Any]:
        if not self.raw:
            raise forms.ValidationError("Nothing is selected.")
        if len(self.raw) > self.LIMIT or not all(text.isascii() and text.isdigit() and len(text) < 19 for text in self.raw):
            raise forms.ValidationError(f"Select at most {self.LIMIT} lines of the list.")
        self.ids = [int(text) for text in self.raw]
        return self.cleaned_data
