"""Accounts: list, add, role and grants, switch off, let in again; and the switches of the installation."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from stores.errors import BadConfig, NotSupported
from stores.forms.users import AddUserForm, SwitchesForm, UserForm
from stores.registry import find_store
from stores.services import accounts, switches
from stores.services.permissions import Permission
from stores.services.rights import Role
from stores.views.common import actor_of, go, needs, page, posted, show
from stores.views.confirm import freshly_confirmed

LIST = "stores/users.html"
ONE = "stores/user.html"


@require_http_methods(["GET", "HEAD", "POST"])
@freshly_confirmed
@page
@needs(Permission.ADMIN)
def users(request: HttpRequest) -> HttpResponse:
    """GET lists; POST makes an account and shows its first password, this once."""
    actor = actor_of(request)
    form, made = AddUserForm(posted(request)), {}
    if form.is_valid():
        try:
            user, password = accounts.add(actor, form.cleaned_data["name"], Role(form.cleaned_data["role"]))
            form, made = AddUserForm(), {"made": user, "secret": password}
        except BadConfig as error:
            form.blame(error)
    context = {"form": form, "infos": accounts.listed(actor), "me": request.user.pk, **made}
    context |= {"switches": SwitchesForm(policy=switches.policy()), "read_only_set": settings.KVADMIN_READ_ONLY}
    response = show(request, LIST, context, status=422 if form.errors else 200)
    add_never_cache_headers(response)
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@freshly_confirmed
@page
@needs(Permission.ADMIN)
def user(request: HttpRequest, user_id: int) -> HttpResponse:
    """One account: GET shows, POST saves role and grants."""
    info = accounts.info(accounts.by_id(user_id))
    form = UserForm(posted(request), info=info)
    if form.is_valid():
        _save(request, info, form)
        return go(request, reverse("stores:user", args=[user_id]), _("What %(name)s may do is saved.") % {"name": info.user.username})
    context = {"form": form, "info": info, "me": request.user.pk, "sessions": accounts.session_count(info.user)}
    context |= {"claimed": info.from_provider and bool(settings.KVADMIN_OIDC_ROLES)}
    return show(request, ONE, context, status=422 if form.errors else 200)


def _save(request: HttpRequest, info: accounts.Info, form: UserForm) -> None:
    actor, role = actor_of(request), Role(form.cleaned_data["role"])
    if role is not info.role:
        accounts.set_role(actor, info.user, role)
    if role is Role.ADMIN:
        return
    for store_id, grant in form.grants().items():
        if grant != info.grants.get(store_id):
            accounts.set_grant(actor, info.user, find_store(store_id), grant)


@require_POST
@freshly_confirmed
@page
@needs(Permission.ADMIN)
def user_act(request: HttpRequest, user_id: int, act: str) -> HttpResponse:
    """Switch on or off, a new password, no second factor any more, sessions ended."""
    actor, user = actor_of(request), accounts.by_id(user_id)
    names = {"name": user.username}
    target = reverse("stores:user", args=[user_id])
    match act:
        case "on" | "off":
            accounts.set_active(actor, user, act == "on")
            said = _("%(name)s may sign in again.") if act == "on" else _("%(name)s is switched off and signed out.")
            return go(request, target, said % names)
        case "password":
            return _new_password(request, accounts.reset_password(actor, user), user_id)
        case "factors":
            count = accounts.reset_factors(actor, user)
            return go(request, target, ngettext("%(count)s was removed.", "%(count)s were removed.", count) % {"count": count})
        case "sessions":
            count = accounts.end_sessions(actor, user)
            return go(request, target, ngettext("%(count)s session was ended.", "%(count)s sessions were ended.", count) % {"count": count})
    raise NotSupported(_('Nothing of an account is called "%(act)s".') % {"act": act[:20]})


def _new_password(request: HttpRequest, secret: str, user_id: int) -> HttpResponse:
    """Shown on the answer itself, so that it is in no session and no message."""
    info = accounts.info(accounts.by_id(user_id))
    context: dict[str, Any] = {"form": UserForm(info=info), "info": info, "me": request.user.pk, "secret": secret, "sessions": 0}
    response = show(request, ONE, context)
    add_never_cache_headers(response)
    return response


@require_POST
@freshly_confirmed
@page
@needs(Permission.ADMIN)
def switches_save(request: HttpRequest) -> HttpResponse:
    """The switches of the whole installation."""
    form = SwitchesForm(request.POST, policy=switches.policy())
    if not form.is_valid():
        raise BadConfig(_("The switches were not understood."), _("Choose one of the list."), "second_factor_from")
    chosen = form.cleaned_data["second_factor_from"]
    switches.save(actor_of(request), read_only=form.cleaned_data["read_only"], second_factor_from=Role(chosen) if chosen else None)
    return go(request, "stores:users", _("The switches are saved."))
