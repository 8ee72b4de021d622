"""No secret reaches a log line, wherever it stands in the record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from kvadmin import logs


@pytest.fixture
def output() -> Iterator[tuple[logging.Logger, StringIO]]:
    stream, logger = StringIO(), logging.getLogger("tests.masking")
    handler = logging.StreamHandler(stream)
    handler.addFilter(logs.MaskingFilter())
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, stream
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hidden@host:6379/0",
        "rediss://user:hidden@host",
        "postgresql://u:hid/den@x@host/db refused",
        "sentinel://:hidden@a:1;sentinel://:hidden@b:2",
        "connection failed: host=db password=hidden user=kv",
        'settings: {"password": "hidden", "host": "db"}',
        "PASSWORD: hidden",
        "secret='hidden'",
    ],
)
def test_passwords_in_urls_and_connection_strings_are_masked(text: str) -> None:
    masked = logs.mask(text)
    assert "hidden" not in masked and "den@x" not in masked
    assert logs.MASK in masked


@pytest.mark.parametrize(
    "text", ["GET http://127.0.0.1:8000/stores/a/", "mail from anna@example.org", "password expired for anna", "redis://host:6379/0"]
)
def test_other_text_stays(text: str) -> None:
    assert logs.mask(text) == text


def test_known_secrets_are_masked_in_messages_arguments_and_tracebacks(
    output: tuple[logging.Logger, StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_known", set())
    logs.remember_secrets(["very-secret-value", "short"])
    logger, stream = output
    logger.warning("one very-secret-value, %s and %r", "redis://:hidden@host/0", {"key": "very-secret-value"})
    try:
        raise ValueError("could not use very-secret-value")
    except ValueError:
        logger.exception("failed")
    written = stream.getvalue()
    assert "very-secret-value" not in written and "hidden" not in written
    assert "ValueError: could not use" in written
    assert logs.mask("short words stay") == "short words stay"


def test_the_configuration_masks_every_handler_that_writes() -> None:
    handlers = logs.config("info")["handlers"]
    assert handlers["stderr"]["filters"] == ["mask"]
    assert set(handlers) == {"stderr", "null"}
