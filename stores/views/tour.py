"""The tour of the first sign-in, a card on the overview."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from stores.services import tour as service
from stores.views.common import go, page


@require_POST
@page
def tour(request: HttpRequest) -> HttpResponse:
    """Go to a step, or end the tour; the overview shows it."""
    assert request.user.pk is not None
    step = service.go_to(request.user.pk, request.POST.get("step", ""))
    return go(request, reverse("stores:overview") + ("#tour" if step else ""))
