"""Signing in, and the appearance and language of the pages."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ChangePasswordForm, LoginForm
from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from stores.forms.base import StyledForm, style


class SignInForm(LoginForm):  # type: ignore[misc]
    """Name and password. What is wrong says the adapter (`kvadmin/adapters.py`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        self.fields["login"].label = _("Name")
        self.fields["login"].widget.attrs = {"autocomplete": "username", "autocapitalize": "none", "autofocus": True}
        self.fields["password"].help_text = ""
        self.fields["password"].widget.attrs = {"autocomplete": "current-password"}
        for field in self.fields.values():
            style(field.widget)

    def add_prefix(self, field_name: str) -> str:
        """Browsers and password managers know the field by this name."""
        return "username" if field_name == "login" else str(super().add_prefix(field_name))


class PasswordForm(ChangePasswordForm):  # type: ignore[misc]
    """The present password and the new one, twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        for name, label in (
            ("oldpassword", _("Present password")),
            ("password1", _("New password")),
            ("password2", _("New password again")),
        ):
            field = self.fields[name]
            field.label, field.widget.attrs["placeholder"] = label, ""
            style(field.widget)
        self.fields["oldpassword"].help_text = ""


class ThemeForm(StyledForm):
    """Light, dark, or as the system has it."""

    theme = forms.ChoiceField(choices=[("auto", "auto"), ("light", "light"), ("dark", "dark")])
    next = forms.CharField(required=False, max_length=4096)


class LanguageForm(StyledForm):
    """One of the languages of the pages, or as the browser asks for it."""

    language = forms.ChoiceField(choices=[("auto", "auto"), *settings.LANGUAGES])
    next = forms.CharField(required=False, max_length=4096)
