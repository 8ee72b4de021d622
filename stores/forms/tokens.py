"""Making a token."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from stores.forms.base import StyledForm
from stores.registry import visible_stores
from stores.services.tokens import SCOPES

WORDS = {
    "read": _("Read: keys, counts, runs, trash, lookups"),
    "edit": _("Edit: write, delete and restore keys"),
    "purge": _("Purge: start, pause and cancel runs"),
    "admin": _("Everything: definitions, schedules and the audit too"),
}


class TokenForm(StyledForm):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What will use it."))
    scopes = forms.MultipleChoiceField(
        label=_("It may"), choices=[(s, WORDS[s]) for s in SCOPES], initial=["read"], widget=forms.CheckboxSelectMultiple
    )
    stores = forms.MultipleChoiceField(
        label=_("Only these stores"), required=False, widget=forms.CheckboxSelectMultiple, help_text=_("None chosen: all stores.")
    )
    expires_at = forms.DateTimeField(
        label=_("Until"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}),
        help_text=_("Empty: until it is revoked."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        ids = visible_stores().values_list("pk", flat=True)
        self.fields["stores"].choices = [(name, name) for name in ids]  # type: ignore[attr-defined]
