"""A rule: when somebody is told, and how."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from stores.forms.base import StyledForm
from stores.forms.keys import class_titles
from stores.models.alert import AlertRule
from stores.registry import visible_stores
from stores.services.alerts import choices
from stores.services.store_settings import MASK


class AlertForm(StyledForm):
    """The webhook may hold a secret: of a rule that exists only its host is shown, and an untouched field keeps it."""

    kind = forms.ChoiceField(label=_("When"), choices=choices)
    store = forms.ChoiceField(label=_("Store"), required=False)
    threshold = forms.FloatField(
        label=_("Limit"),
        required=False,
        help_text=_("In the unit beside the rule; empty: its usual limit."),
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )
    class_slug = forms.ChoiceField(label=_("Class, for growth"), required=False)
    emails = forms.CharField(
        label=_("E-mail to"), required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"})
    )
    webhook = forms.CharField(
        label=_("Webhook"),
        required=False,
        max_length=2000,
        help_text=_("Receives a JSON document by POST. Redirects are not followed."),
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocomplete": "off", "placeholder": "https://"}),
    )

    def __init__(self, data: Any = None, *, rule: AlertRule | None = None, initial: dict[str, Any] | None = None) -> None:
        self.rule = rule
        shown = dict(initial or {})
        if rule is not None:
            shown = {"kind": rule.kind, "store": rule.store_id or "", "class_slug": rule.class_slug, "emails": rule.emails}
            shown |= {"webhook": MASK if rule.webhook else "", "threshold": f"{rule.threshold:g}" if rule.threshold else ""}
        super().__init__(data, initial=shown, auto_id="alert-%s")
        self.fields["store"].choices = [("", _("None: the scheduler")), *((pk, pk) for pk in visible_stores().values_list("pk", flat=True))]  # type: ignore[attr-defined]
        self.fields["class_slug"].choices = [("", _("Any")), *class_titles().items()]  # type: ignore[attr-defined]

    @property
    def url(self) -> str:
        """The webhook that is meant: what was typed, or the one that stays."""
        typed = str(self.cleaned_data["webhook"]).strip()
        return str(self.rule.webhook) if typed == MASK and self.rule is not None else typed
