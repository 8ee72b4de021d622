"""The page after an error that nobody expected: kvadmin's own database away, or a mistake in kvadmin."""

from __future__ import annotations

import sys

from django.db import InterfaceError, OperationalError, close_old_connections
from django.http import HttpRequest, HttpResponse
from django.template import loader

RETRY_SECONDS = 5


def server_error(request: HttpRequest) -> HttpResponse:
    """503 with a word about the database where that is the reason, otherwise 500. Needs neither database nor session."""
    if isinstance(sys.exc_info()[1], (OperationalError, InterfaceError)):
        close_old_connections()
        return HttpResponse(loader.render_to_string("503.html"), status=503, headers={"Retry-After": str(RETRY_SECONDS)})
    return HttpResponse(loader.render_to_string("500.html"), status=500)
