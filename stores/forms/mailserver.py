"""Address and credential of the mail server, and what it shall do."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from stores.forms.base import StyledForm, style
from stores.keyclasses import CLASSES
from stores.models import VERSIONS, MailServer
from stores.registry import visible_stores
from stores.services.mailserver import choices


class MailServerForm(StyledForm):
    """A stored credential is never shown; an empty field keeps it."""

    url = forms.CharField(max_length=300, label=_("Address"), help_text=_("Of the management interface, such as https://mail.example.org."))
    version = forms.ChoiceField(choices=[(version, version) for version in VERSIONS[1:]], label=_("Stalwart version"))
    token = forms.CharField(
        max_length=500,
        required=False,
        label=_("API key, or name:password"),
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("Of an account with only the permissions named here. Empty keeps the stored one."),
    )
    allow_invalid_certs = forms.BooleanField(required=False, label=_("Accept certificates that cannot be checked"))


class MaintainForm(StyledForm):
    """A purge, or the removal of a class, by the server itself."""

    store = forms.ChoiceField(required=False, label=_("Store"))
    slug = forms.ChoiceField(required=False, label=_("What"))
    sure = forms.BooleanField(required=False, label=_("A class goes with its live keys, without undo"))

    def __init__(self, server: MailServer, data: Any = None) -> None:
        super().__init__(data)
        ids = () if server.version == "0.16" else visible_stores().exclude(type__in=("static", "http")).values_list("pk", flat=True)
        resets = [(slug, _("Remove all of %(title)s") % {"title": CLASSES[slug].title}) for slug in choices(server.version)]
        self.fields["store"] = forms.ChoiceField(
            required=False, label=_("Store"), choices=[("", _("The server's default store")), *((pk, pk) for pk in ids)]
        )
        self.fields["slug"] = forms.ChoiceField(required=False, label=_("What"), choices=[("", _("Purge what has expired")), *resets])
        for name in ("store", "slug"):
            style(self.fields[name].widget)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("slug") and not cleaned.get("sure"):
            self.add_error("sure", _("Tick this to have a whole class removed."))
        return cleaned
