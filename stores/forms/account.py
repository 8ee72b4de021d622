"""Signing in, and the appearance and language of the pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _

from stores.forms.base import StyledForm, style


class SignInForm(AuthenticationForm):
    """Name and password."""

    error_messages = {
        "invalid_login": _("Name and password do not belong together. Both tell upper from lower case."),
        "inactive": _("This account is switched off."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        self.fields["username"].label = _("Name")
        for field in self.fields.values():
            style(field.widget)


class ThemeForm(StyledForm):
    """Light, dark, or as the system has it."""

    theme = forms.ChoiceField(choices=[("auto", "auto"), ("light", "light"), ("dark", "dark")])
    next = forms.CharField(required=False, max_length=4096)


class LanguageForm(StyledForm):
    """One of the languages of the pages, or as the browser asks for it."""

    language = forms.ChoiceField(choices=[("auto", "auto"), *settings.LANGUAGES])
    next = forms.CharField(required=False, max_length=4096)
