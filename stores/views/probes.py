"""For machines: is the process alive, is the installation ready, and its figures."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from stores.services import metrics as figures
from stores.services.readiness import parts


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as this process answers; asks nothing."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 where database, broker, worker and beat are well, else 503; says which is not, and no more to strangers."""
    found = parts()
    ready = all(part.ok for part in found)
    shown = {part.name: "ok" if part.ok else part.detail or "not ok" for part in found}
    return JsonResponse({"ready": ready, "parts": shown}, status=200 if ready else 503)


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Figures for Prometheus, for whoever has the token; without one set, for this machine."""
    token = settings.KVADMIN_METRICS_TOKEN
    if token:
        if not constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}"):
            return _refused(401, "Send the token of KVADMIN_METRICS_TOKEN as Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"})
    elif not _from_here(request.META.get("REMOTE_ADDR", "")):
        return _refused(403, "Only this machine may read the metrics; set KVADMIN_METRICS_TOKEN for others.", {})
    return HttpResponse(figures.text(), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _refused(status: int, text: str, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain", headers=headers)


def _from_here(address: str) -> bool:
    """Whether the client is on this machine; an empty address is a Unix socket's."""
    try:
        return not address or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
