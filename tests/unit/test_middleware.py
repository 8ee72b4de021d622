"""Whose address is believed, and the headers of every answer."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from kvadmin import middleware


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1, 10.1.2.3", "198.51.100.1"),
        ("127.0.0.1", "junk", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("", "203.0.113.9", ""),
    ],
)
@override_settings(KVADMIN_TRUSTED_PROXIES=("127.0.0.1", "10.0.0.0/8"))
def test_client_address(peer: str, header: str, expected: str) -> None:
    assert middleware.client_address(peer, header) == expected


def test_the_address_of_a_proxied_request_is_replaced() -> None:
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request.META["REMOTE_ADDR"])
        return HttpResponse()

    request = HttpRequest()
    request.META.update({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"})
    middleware.forwarded_address(view)(request)
    assert seen == ["203.0.113.9"]


def test_pages_of_a_signed_in_user_are_not_kept() -> None:
    handler = middleware.response_headers(lambda request: HttpResponse())
    request = HttpRequest()
    request.user = AnonymousUser()
    assert "Cache-Control" not in handler(request).headers
    request.user = User(username="anna")
    response = handler(request)
    assert response.headers["Cache-Control"] == "private, no-store"
    assert "geolocation=()" in response.headers["Permissions-Policy"]


@pytest.mark.parametrize(
    ("length", "status"), [("1000000", 200), ("1000001", 413), ("9" * 18, 413), ("", 200), ("junk", 200), ("9" * 40, 413)]
)
@override_settings(KVADMIN_UPLOAD_MB=1)
def test_a_request_that_is_too_large_is_refused_unread(length: str, status: int) -> None:
    request = HttpRequest()
    request.META["CONTENT_LENGTH"] = length
    assert middleware.request_size(lambda request: HttpResponse())(request).status_code == status
