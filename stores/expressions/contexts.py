"""Which variables an expression may name, by the setting it stands in (expressions.md 4.1, up to 0.15)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stores.texts import say

_CONNECTION = ("listener", "remote_ip", "remote_port", "local_ip", "local_port", "protocol", "is_tls", "asn", "country")
_MAIL = ("sender", "sender_domain", "authenticated_as")
_QUEUE = (
    "rcpt_domain",
    "recipients",
    "sender",
    "sender_domain",
    "priority",
    "retry_num",
    "notify_num",
    "expires_in",
    "last_status",
    "last_error",
)
_HTTP = ("listener", "remote_ip", "remote_port", "local_ip", "local_port", "protocol", "is_tls", "url", "url_path", "headers", "method")

VARIABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "rcpt": (*_CONNECTION, *_MAIL, "rcpt", "rcpt_domain", "recipients", "priority", "helo_domain"),
    "mail": (*_CONNECTION, "helo_domain", *_MAIL),
    "ehlo": (*_CONNECTION, "helo_domain"),
    "connect": _CONNECTION,
    "queue": (*_QUEUE, "mx", "rcpt", "remote_ip", "local_ip"),
    "http": _HTTP,
    "address": ("address", "email", "rcpt"),
}
"""Context -> the names that parse there."""

LABELS: Final[Mapping[str, str]] = {
    "rcpt": say("SMTP session, from RCPT on"),
    "mail": say("SMTP session, from MAIL on"),
    "ehlo": say("SMTP session, from EHLO on"),
    "connect": say("Connection"),
    "queue": say("Queue and delivery"),
    "http": say("HTTP request"),
    "address": say("Address mapping"),
}

INTEGERS: Final = frozenset({"remote_port", "local_port", "asn", "is_tls", "retry_num", "notify_num", "expires_in"})
ARRAYS: Final = frozenset({"recipients", "headers"})
"""Written one element a line in a form."""

SIEVE: Final = (
    "envelope.from", "envelope.to", "remote_ip", "helo_domain", "authenticated_as", "asn", "country", "spf.result", "iprev.result",
    "stage", "dkim.result", "dmarc.result",
)  # fmt: skip
"""What of a trusted script's surroundings is worth filling in: `envelope.from` and `.to` as they are, the others as `env.NAME`."""
