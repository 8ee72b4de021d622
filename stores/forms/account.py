"""Signing in, and the appearance of the pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm

from stores.forms.base import StyledForm, style


class SignInForm(AuthenticationForm):
    """Name and password."""

    error_messages = {
        "invalid_login": "Name and password do not belong together. Both tell upper from lower case.",
        "inactive": "This account is switched off.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        self.fields["username"].label = "Name"
        for field in self.fields.values():
            style(field.widget)


class ThemeForm(StyledForm):
    """Light, dark, or as the system has it."""

    theme = forms.ChoiceField(choices=[("auto", "auto"), ("light", "light"), ("dark", "dark")])
    next = forms.CharField(required=False, max_length=4096)
