"""Signing in and out, the page for visitors, appearance and language."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from stores.forms.account import LanguageForm, SignInForm, ThemeForm


@method_decorator([login_not_required, sensitive_post_parameters("password")], name="dispatch")
class SignIn(auth.LoginView):
    """The only page besides the landing page that answers without a login."""

    template_name = "stores/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True


sign_in = SignIn.as_view()
sign_out = auth.LogoutView.as_view(next_page="stores:overview", http_method_names=["post", "options"])


@login_not_required
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the appearance in a cookie, so that the server draws it from the first byte on."""
    form = ThemeForm(request.POST)
    if not form.is_valid():
        return HttpResponse("Choose auto, light or dark.", status=400, content_type="text/plain")
    response = redirect(_back(request, form))
    if form.cleaned_data["theme"] == "auto":
        response.delete_cookie("kv_theme", samesite="Lax")
    else:
        response.set_cookie("kv_theme", form.cleaned_data["theme"], max_age=31_536_000, samesite="Lax", secure=request.is_secure())
    return response


@login_not_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Keep the language in a cookie; `auto` goes back to what the browser asks for."""
    form = LanguageForm(request.POST)
    if not form.is_valid():
        return HttpResponse("Choose auto or one of the languages.", status=400, content_type="text/plain")
    response = redirect(_back(request, form))
    name = settings.LANGUAGE_COOKIE_NAME
    if form.cleaned_data["language"] == "auto":
        response.delete_cookie(name, samesite="Lax")
    else:
        age = settings.LANGUAGE_COOKIE_AGE
        response.set_cookie(name, form.cleaned_data["language"], max_age=age, samesite="Lax", secure=request.is_secure())
    return response


def _back(request: HttpRequest, form: ThemeForm | LanguageForm) -> str:
    """Where the choice was made, unless that is another server."""
    target: str = form.cleaned_data["next"]
    safe = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if safe else "stores:overview"
