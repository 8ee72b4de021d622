"""Middleware that is about the installation, not about stores."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from stores import sight
from stores.services import duties, turns
from stores.services.actor import rights_of

_FEATURES = (
    "accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), "
    "midi=(), payment=(), screen-wake-lock=(), serial=(), usb=(), xr-spatial-tracking=()"
)
"""Browser features that no page uses."""

Handler = Callable[[HttpRequest], HttpResponse]


@lru_cache(maxsize=8)
def _networks(names: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(name) for name in names)


def _trusted(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in _networks(tuple(settings.KVADMIN_TRUSTED_PROXIES)))


def client_address(peer: str, forwarded_for: str) -> str:
    """The client's address: the peer, or behind trusted proxies the last address in the header that is not one of them."""
    address = peer
    for hop in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
        if not _trusted(address):
            return address
        try:
            address = str(ipaddress.ip_address(hop))
        except ValueError:
            return address
    return address


def forwarded_address(get_response: Handler) -> Handler:
    """Puts the client's address into REMOTE_ADDR where a trusted proxy (`KVADMIN_TRUSTED_PROXIES`) says it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        header = request.META.get("HTTP_X_FORWARDED_FOR", "")
        if header:
            request.META["REMOTE_ADDR"] = client_address(request.META.get("REMOTE_ADDR", ""), header)
        return get_response(request)

    return middleware


def counted(get_response: Handler) -> Handler:
    """Lets walks of other pages know that somebody waits (`stores/services/turns.py`)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        with turns.answering():
            return get_response(request)

    return middleware


def request_size(get_response: Handler) -> Handler:
    """Refuses what is larger than `KVADMIN_UPLOAD_MB` before a byte of it is read, so that nobody fills memory or disk."""

    def middleware(request: HttpRequest) -> HttpResponse:
        length = str(request.META.get("CONTENT_LENGTH") or "0")
        most = int(settings.KVADMIN_UPLOAD_MB) * 1_000_000
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > most):
            text = f"The request is too large; up to {most:,} bytes are taken (KVADMIN_UPLOAD_MB).\n"
            return HttpResponse(text, status=413, content_type="text/plain", headers={"Connection": "close"})
        return get_response(request)

    return middleware


def sight_of_user(get_response: Handler) -> Handler:
    """No view finds a store that the signed-in user may not see; of an API request its token decides (`request.rights`)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        with sight.looking(lambda: (getattr(request, "rights", None) or rights_of(request.user)).sight()):
            return get_response(request)

    return middleware


def first_things_first(get_response: Handler) -> Handler:
    """Whoever has to choose a password or set up a second factor does that before anything else.

    Whether anything is due is decided at sign-in and kept in the session (`services/duties.py`), so that only those pay for it who
    still have something to do.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        asked = request.user.is_authenticated and duties.SESSION_KEY in request.session and not _is_way_out(request.path_info)
        if asked and (due := duties.note(request, request.user)):
            return HttpResponseRedirect(reverse(duties.PAGES[due[0]]))
        return get_response(request)

    return middleware


def _is_way_out(path: str) -> bool:
    return path.startswith(("/account/", "/sign-out/", "/theme/", "/language/", settings.STATIC_URL, "/healthz", "/readyz", "/metrics"))


def response_headers(get_response: Handler) -> Handler:
    """Keeps pages of signed-in users out of shared caches and switches off browser features that are not used."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Permissions-Policy", _FEATURES)
        if "Cache-Control" not in response.headers and request.user.is_authenticated:
            response.headers["Cache-Control"] = "private, no-store"
        return response

    return middleware
