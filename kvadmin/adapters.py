"""How allauth is bent to this installation: no sign-up, no mail, encrypted second factors, roles from the provider's claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from stores.models.fields import cipher
from stores.services import claims, signins

if TYPE_CHECKING:
    from allauth.socialaccount.models import SocialLogin
    from django.contrib.auth.models import User


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Accounts are made by administrators, on the command line, or by the provider's first sign-in; never by visitors."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": _("Name and password do not belong together. Both tell upper from lower case."),
        "too_many_login_attempts": _("Too many attempts. Wait five minutes and try again."),
    }

    tried = ""
    """The name of the present attempt."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address that the middleware found behind trusted proxies; no header is believed here."""
        return str(request.META.get("REMOTE_ADDR") or "0.0.0.0")  # noqa: S104  (stands for an unknown client of a socket)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Raises ValidationError for an address or account with too many wrong passwords; that is on record."""
        self.tried = str(credentials.get("username") or credentials.get("email") or "")
        super().pre_authenticate(request, **credentials)

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        """The error to be raised; that somebody is turned away because of too many attempts is on record."""
        if code in ("too_many_login_attempts", "rate_limited"):
            signins.held_up(self.request, "sign-in" if self.tried else "code", self.tried)
        error: ValidationError = super().validation_error(code, *args)
        return error

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Nothing about accounts depends on mail."""

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return reverse("stores:overview")

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Pages say what they did themselves; only what went wrong is passed on."""
        level = args[1] if len(args) > 1 else kwargs.get("level", 0)
        if level >= 40:
            super().add_message(*args, **kwargs)


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of second factors are stored encrypted, as the passwords of stores are."""

    def encrypt(self, text: str) -> str:
        return cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return cipher().decrypt(encrypted_text.encode()).decode()


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Accounts of the OpenID Connect provider: known by their subject only, never joined to another account by name or address."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Refuse whoever has no role by the claims; give the others theirs anew."""
        if request.user.is_authenticated and sociallogin.user.pk != request.user.pk:
            raise ImmediateHttpResponse(_refused(request, str(claims.OTHER_ACCOUNT)))
        try:
            role = claims.role_of(sociallogin.account.extra_data)
        except claims.NoRole as error:
            claims.record_refusal(sociallogin, request.META.get("REMOTE_ADDR"))
            if sociallogin.is_existing:
                claims.withdraw(sociallogin.user)
            raise ImmediateHttpResponse(_refused(request, str(error))) from None
        if sociallogin.is_existing:
            claims.apply(sociallogin.user, role, request.session.session_key if request.user.is_authenticated else None)

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """The first sign-in makes the account, without a password."""
        user: User = super().save_user(request, sociallogin, form)
        claims.apply(user, claims.role_of(sociallogin.account.extra_data))
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("stores:account")


def _refused(request: HttpRequest, text: str) -> HttpResponse:
    context = {"text": text, "provider": settings.KVADMIN_PROVIDERS[0]["name"]}
    return render(request, "socialaccount/authentication_error.html", context, status=403)
