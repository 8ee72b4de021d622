"""Which keys a command means, and the shape of an entry in JSON; the same for all commands."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import CommandParser

from stores.management.base import usage
from stores.services.browse import KeyFilter

SHAPE: Final = """\
  key_hex     the key's bytes
  kind        "value", "counter", "lock", "unknown" (user keys on Redis)
  class       slug of the key class, null for user keys
  value_hex   payload without the expiry header; null for counters and malformed rows
  counter     integer or null
  expires_at  Unix seconds or null
  expired     true when expires_at has passed and the row is still there
  label       the subject in words
  fields      its parts by name; a malformed row has "problem" and "row_hex" here
key_hex and value_hex are always the real bytes; codes and keys in label and fields are masked."""

_OPTIONS: Final = {"class": "class", "prefix": "prefix", "match": "match", "text": "q", "kind": "kind", "count": "count", "size": "size"}
"""Option -> parameter of the key list's address."""


def add_filter(parser: CommandParser) -> None:
    """The options that choose keys; all that are given must hold."""
    parser.add_argument("--class", dest="class", metavar="SLUG", default="", help="key class, such as rate-auth; custom = user keys")
    parser.add_argument("--prefix", metavar="HEX", default="", help="keys that begin with these bytes")
    parser.add_argument("--match", metavar="GLOB", default="", help="* ? and [a-z] on the key's text")
    parser.add_argument("--text", metavar="WORDS", default="", help="part of the decoded subject, or a network such as 203.0.113.0/24")
    parser.add_argument("--kind", metavar="K", default="", help="value, counter, lock or unknown")
    parser.add_argument("--count", metavar="N", default="", help="counters of at least N")
    parser.add_argument("--size", metavar="BYTES", default="", help="keys with at least so many bytes in key and row")
    parser.add_argument("--left-over", action="store_true", help="what the store's version no longer writes, counters without an end")
    when = parser.add_mutually_exclusive_group()
    for name, words in (("expired", "have expired"), ("live", "have not expired"), ("never", "never expire")):
        when.add_argument(f"--{name}", dest="expiry", action="store_const", const=name, default="", help=f"keys that {words}")


def filter_of(options: dict[str, Any]) -> KeyFilter:
    """The filter of a command's options. Exit code 2 for a wrong one."""
    query = {parameter: options[option] for option, parameter in _OPTIONS.items()}
    with usage():
        return KeyFilter.from_query({**query, "expiry": options["expiry"], "left": "1" if options["left_over"] else ""})
