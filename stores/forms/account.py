"""Signing in, and the appearance and language of the pages."""

from __future__ import annotations

import struct
from typing import Any, Final

from allauth.account.forms import ChangePasswordForm, LoginForm, ReauthenticateForm
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as mfa
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm, EditWebAuthnForm, LoginWebAuthnForm
from cryptography.exceptions import InvalidSignature
from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
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


class ConfirmForm(ReauthenticateForm):  # type: ignore[misc]
    """The password again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        self.fields["password"].label, self.fields["password"].help_text = _("Password"), ""
        self.fields["password"].widget.attrs = {"autocomplete": "current-password", "autofocus": True}
        style(self.fields["password"].widget)


def _code(field: forms.Field) -> None:
    """How every field for a code looks."""
    field.label = _("Code")
    field.widget.attrs = {"autocomplete": "one-time-code", "inputmode": "text", "spellcheck": "false", "autofocus": True}
    style(field.widget)


class CodeForm(mfa.AuthenticateForm):  # type: ignore[misc]
    """A code after the password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        _code(self.fields["code"])


class ConfirmCodeForm(mfa.ReauthenticateForm):  # type: ignore[misc]
    """A code in the place of the password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        _code(self.fields["code"])


class AppForm(ActivateTOTPForm):  # type: ignore[misc]
    """The first code of a new app."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        _code(self.fields["code"])


ODD_CREDENTIAL: Final = (
    ArithmeticError, AttributeError, InvalidSignature, LookupError, RecursionError, TypeError, ValueError, struct.error,
)  # fmt: skip
"""What the libraries raise for an answer that no browser has made."""
LONGEST_CREDENTIAL: Final = 64_000


def _no_credential() -> ValidationError:
    error: ValidationError = get_adapter().validation_error("incorrect_code")
    return error


class CredentialField(forms.JSONField):
    """What the browser's part of a passkey answered: a JSON object, of which Django's own field lets more through and less be said."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and len(value) > LONGEST_CREDENTIAL:
            raise _no_credential()
        try:
            found = super().to_python(value)
        except ODD_CREDENTIAL:  # numbers of thousands of digits, deep nesting
            raise _no_credential() from None
        if found is not None and not isinstance(found, dict):
            raise _no_credential()
        return found

    def bound_data(self, data: Any, initial: Any) -> Any:
        """An answer is good for one time: it is not written into the page again."""
        return initial


class PasskeySignInForm(LoginWebAuthnForm):  # type: ignore[misc]
    """Signing in with a passkey alone."""

    credential = CredentialField(widget=forms.HiddenInput)

    def clean_credential(self) -> Any:
        try:
            return super().clean_credential()
        except ODD_CREDENTIAL:
            raise _no_credential() from None


class PasskeyCodeForm(PasskeySignInForm):
    """A passkey or security key after the password."""

    passwordless = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        user = kwargs.pop("user")
        super().__init__(*args, **kwargs)
        self.user = user


class ConfirmPasskeyForm(PasskeyCodeForm):
    """A passkey or security key in the place of the password."""

    reauthenticated = True


class PasskeyForm(AddWebAuthnForm):  # type: ignore[misc]
    """A new passkey: its name, and whether it replaces the password."""

    credential = CredentialField(widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        try:
            cleaned: dict[str, Any] = super().clean()
        except ODD_CREDENTIAL:
            raise _no_credential() from None
        return cleaned

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        self.fields["name"].label = _("Name")
        if "passwordless" in self.fields:
            self.fields["passwordless"].label = _("It may replace the password")
            self.fields["passwordless"].help_text = _("Then it has to ask for a PIN or a finger.")
        for field in self.fields.values():
            style(field.widget)


class PasskeyNameForm(EditWebAuthnForm):  # type: ignore[misc]
    """Another name for a passkey."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        self.fields["name"].label = _("Name")
        style(self.fields["name"].widget)


class ThemeForm(StyledForm):
    """Light, dark, or as the system has it."""

    theme = forms.ChoiceField(choices=[("auto", "auto"), ("light", "light"), ("dark", "dark")])
    next = forms.CharField(required=False, max_length=4096)


class LanguageForm(StyledForm):
    """One of the languages of the pages, or as the browser asks for it."""

    language = forms.ChoiceField(choices=[("auto", "auto"), *settings.LANGUAGES])
    next = forms.CharField(required=False, max_length=4096)
