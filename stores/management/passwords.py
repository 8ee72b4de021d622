"""Passwords of accounts on the command line: never as an argument, which others on the machine can read."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import USAGE, Error


def add_password(parser: CommandParser) -> None:
    """The two ways to give one."""
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--password-env", metavar="VARIABLE", help="take the password from this environment variable")
    ways.add_argument("--password-stdin", action="store_true", help="read the password from the first line of stdin")


def given_password(options: dict[str, Any]) -> str:
    """The password that was given; empty when none was. An empty one is an error of usage."""
    if options["password_env"]:
        found = os.environ.get(options["password_env"], "")
    elif options["password_stdin"]:
        found = sys.stdin.readline().rstrip("\r\n")
    else:
        return ""
    if not found:
        raise Error("The password is empty.", returncode=USAGE)
    return found
