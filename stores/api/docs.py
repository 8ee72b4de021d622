"""The description of the API for people: drawn here from the document, without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from stores.api import describe


@require_safe
def docs(request: HttpRequest, document: Callable[[], Mapping[str, Any]], prefix: str) -> HttpResponse:
    """All routes by subject, with what they take and answer. For signed-in browsers."""
    schema = document()
    context = {
        "subjects": describe.entries(schema),
        "shapes": describe.shapes(schema),
        "base": request.build_absolute_uri(prefix).rstrip("/"),
    }
    return render(request, "stores/api_docs.html", context)
