"""Importing a configuration: upload or paste, then choose what to create."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from stores.forms.base import StyledForm
from stores.registry import visible_stores
from stores.services.server_import import READABLE, Access, checked_access

MOST_BYTES: Final = 2 << 20


class UploadForm(StyledForm):
    """A file or a pasted text; the file counts when both are given."""

    file = forms.FileField(
        label=_("File"), required=False, allow_empty_file=True, help_text=_("config.toml of Stalwart 0.10 to 0.15, config.json of 0.16")
    )
    text = forms.CharField(
        label=_("Or its text"),
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 14,
                "class": "form-control kv-mono",
                "spellcheck": "false",
                "autocomplete": "off",
                "placeholder": '[store."memstore"]\ntype = "redis"',
            }
        ),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        upload = cleaned.get("file")
        if upload is not None and upload.size > MOST_BYTES:
            self.add_error(
                "file",
                _("The file has %(size)s bytes; a configuration has at most %(most_bytes)s.")
                % {"size": f"{upload.size:,}", "most_bytes": f"{MOST_BYTES:,}"},
            )
        elif upload is not None:
            self.name = upload.name or "config.toml"
            try:
                self.content = upload.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                self.add_error("file", _("This is not a text file in UTF-8."))
        elif len(cleaned.get("text") or "") > MOST_BYTES:
            self.add_error("text", _("The text is longer than %(most_bytes)s characters.") % {"most_bytes": f"{MOST_BYTES:,}"})
        elif (cleaned.get("text") or "").strip():
            self.name, self.content = str(_("pasted text")), cleaned["text"].replace("\r\n", "\n")
        elif not self.errors:
            self.add_error("file", _("Choose the file, or paste its text below."))
        return cleaned


class ServerForm(StyledForm):
    """A running server and who asks it."""

    url = forms.CharField(
        label=_("Address"), max_length=300, help_text=_("Of the management interface, such as https://mail.example.org."),
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
    )  # fmt: skip
    user = forms.CharField(label=_("User"), max_length=200, required=False, help_text=_("Empty: an API key is given below."))
    secret = forms.CharField(
        label=_("Password or API key"), max_length=500, required=False, strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )  # fmt: skip
    allow_private = forms.BooleanField(
        label=_("It is on this machine or in a private network"), required=False,
        help_text=_("Without this, such addresses are refused, so that nobody can use kvadmin to reach into your network."),
    )  # fmt: skip
    unchecked = forms.BooleanField(label=_("Accept certificates that cannot be checked"), required=False)
    keep = forms.BooleanField(
        label=_("Keep address and credential"), required=False,
        help_text=_("Encrypted, as the mail server in the settings. Otherwise they are forgotten after this."),
    )  # fmt: skip

    def access(self) -> Access:
        """What was given. Raises BadConfig that names the field."""
        given = self.cleaned_data
        return checked_access(
            given["url"], given["user"], given["secret"], unchecked=given["unchecked"], allow_private=given["allow_private"]
        )


class SettingsForm(StyledForm):
    """The data store in which a server keeps its settings."""

    store = forms.ChoiceField(label=_("Data store"), help_text=_("The one that Stalwart 0.11 to 0.15 names as storage.data."))

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data)
        found = visible_stores().filter(type__in=READABLE, enabled=True).values_list("pk", flat=True)
        self.fields["store"].choices = [(pk, pk) for pk in found]  # type: ignore[attr-defined]
        self.any = bool(found)


class ApplyForm(forms.Form):
    """Which of the planned stores to create."""

    repair = forms.BooleanField(required=False)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.chosen = frozenset(data.getlist("store"))
