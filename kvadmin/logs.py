"""Logging to stderr, with every secret masked: passwords in URLs and connection strings, and the secrets kvadmin knows."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

MASK = "********"
_URL_PASSWORD = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]*://[^\s/?#@:'\"]*:)[^\s'\"]*@", re.IGNORECASE)
"""Greedy on purpose: a password with a raw `@` or `/` in it must not be cut in the middle."""
_NAMED = re.compile(
    r"(?P<head>\b(?:password|passwd|pwd|secret|api_key|token)['\"]?\s*[=:]\s*)(?P<quote>['\"]?)[^\s'\",;&)]+", re.IGNORECASE
)
_PUBLISHED = re.compile(r"(?P<head>/publish/)[\w-]+")
_known: set[str] = set()


def remember_secrets(secrets: Iterable[str]) -> None:
    """Mask these texts wherever they appear from now on. Short ones (under 6 characters) would mask ordinary words."""
    _known.update(secret for secret in secrets if len(secret) >= 6)


def mask(text: str) -> str:
    """The text without secrets."""
    for secret in _known:
        text = text.replace(secret, MASK)
    text = _PUBLISHED.sub(rf"\g<head>{MASK}", text)
    text = _URL_PASSWORD.sub(rf"\g<head>{MASK}@", text)
    return _NAMED.sub(rf"\g<head>\g<quote>{MASK}", text)


class MaskingFilter(logging.Filter):
    """Masks the message and the traceback of a record before any formatter sees them."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = mask(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = _formatter.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = mask(record.exc_text)
        if record.stack_info:
            record.stack_info = mask(record.stack_info)
        return True


_formatter = logging.Formatter()


def config(level: str) -> dict[str, Any]:
    """`logging.config` for every process: one handler, on stderr, masked."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"mask": {"()": "kvadmin.logs.MaskingFilter"}},
        "formatters": {"line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{", "datefmt": "%Y-%m-%d %H:%M:%S"}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["mask"], "stream": "ext://sys.stderr"},
            "null": {"class": "logging.NullHandler"},
        },
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            "django": {"level": level.upper(), "handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            "django.security.DisallowedHost": {"level": "ERROR"},
            "django.db.backends": {"level": "INFO"},
            "django.template": {"level": "INFO"},
            "django.utils.autoreload": {"level": "INFO"},
            "celery.redirected": {"level": "WARNING"},
            "gunicorn.error": {"level": level.upper(), "handlers": [], "propagate": True},
            "gunicorn.access": {"handlers": ["null"], "propagate": False},
        },
    }
