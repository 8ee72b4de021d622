"""What all commands share: JSON or words, errors on stderr, and the exit codes 0 done, 1 refused or failed, 2 usage."""

from __future__ import annotations

import os
import re
import sys
import time
from abc import abstractmethod
from argparse import RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from json import JSONEncoder
from typing import Any, ClassVar, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError
from django.utils import timezone

from stores.errors import BadConfig, StoreError
from stores.services.actor import Actor
from stores.services.durations import in_words

DONE, REFUSED, USAGE = 0, 1, 2

_ENCODER: Final = JSONEncoder(allow_nan=False)


class Error(CommandError):
    """Ends the command with a line on stderr. The class name is the word before the colon."""


class Formatter(RawDescriptionHelpFormatter):
    """Help whose examples keep their lines."""


class KvCommand(BaseCommand):
    """A command over the services. Subclasses say `help`, `details` (shapes and examples), `arguments` and `run`."""

    requires_system_checks = ()
    details: ClassVar[str] = ""
    json_help: ClassVar[str] = "machine-readable output"

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Options of ours win over Django's of the same name (`--version`)."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", epilog=self.details, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = Formatter
        self.arguments(parser)
        parser.add_argument("--json", action="store_true", help=self.json_help)

    @abstractmethod
    def arguments(self, parser: CommandParser) -> None:
        """Add this command's own arguments."""

    @abstractmethod
    def run(self, options: dict[str, Any]) -> int:
        """Do it and answer the exit code. StoreErrors become a line on stderr and exit code 1."""

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            code = self.run(options)
            self.stdout.flush()
        except StoreError as error:
            raise Error(str(error), returncode=REFUSED) from None
        except (OperationalError, ProgrammingError) as error:
            raise Error(_database_words(error), returncode=REFUSED) from None
        except KeyboardInterrupt:
            raise Error("Stopped.", returncode=REFUSED) from None
        except BrokenPipeError:
            _silence_stdout()
            return
        if code != DONE:
            raise SystemExit(code)

    @property
    def actor(self) -> Actor:
        return Actor.command_line()

    def line(self, text: str = "") -> None:
        """One line of output; control characters of keys and values are shown, never sent to the terminal."""
        self.stdout.write(printable(text))

    def json(self, value: Any) -> None:
        """One JSON document on one line, in ASCII, so that no terminal and no locale can garble it."""
        self.stdout.write(_ENCODER.encode(value))

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Aligned columns."""
        lines = [tuple(head), *(tuple(printable(cell) for cell in row) for row in rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        for line in lines:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@contextmanager
def usage() -> Iterator[None]:
    """What the arguments say is wrong: exit code 2 instead of 1."""
    try:
        yield
    except BadConfig as error:
        raise Error(str(error), returncode=USAGE) from None


def add_hex(parser: CommandParser) -> None:
    """The option that every command with keys has."""
    parser.add_argument("--hex", action="store_true", help="keys are given as hex digits instead of text")


def key_of(text: str, options: dict[str, Any]) -> bytes:
    """The key of an argument: its text, or bytes of hex. Exit code 2 for what is not hex."""
    if not options["hex"]:
        return os.fsencode(text)
    from stores.services.filters import parse_hex

    with usage():
        return parse_hex(text, "key")


def expiry_words(expires_at: int | None, now: float | None = None) -> str:
    """ "never", "in 5 h 12 min", "expired 3 d ago"."""
    if expires_at is None:
        return "never"
    left = expires_at - (time.time() if now is None else now)
    return f"in {in_words(left)}" if left > 0 else f"expired {in_words(-left)} ago"


def local(at: datetime | float) -> str:
    """A time in the server's zone."""
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, timezone.get_default_timezone())
    return moment.astimezone(timezone.get_default_timezone()).strftime("%Y-%m-%d %H:%M:%S %Z")


def confirm(question: str, assume_yes: bool, count: int | None = None) -> None:
    """Ask on the terminal: for a yes, or for the count of keys. Without one the question cannot be asked: exit code 2, unless `--yes` was
    given."""
    if assume_yes:
        return
    if not sys.stdin.isatty():
        raise Error("This needs a confirmation: run it on a terminal or add --yes.", returncode=USAGE)
    sys.stderr.write(f"{question} Type {'yes' if count is None else count}: ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip().lower()
    if answer not in (("y", "yes") if count is None else (str(count), f"{count:,}")):
        raise Error("Nothing was done.", returncode=REFUSED)


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Text for a terminal: control characters and direction overrides as escapes."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}" if ord(match[0]) < 256 else f"\\u{ord(match[0]):04x}", text)


def _database_words(error: Exception) -> str:
    if "no such table" in str(error) or "does not exist" in str(error) or "doesn't exist" in str(error):
        return "kvadmin's own database has no tables yet. Run `up` once, or `migrate`."
    return f"kvadmin's own database did not answer ({type(error).__name__}). Look at KVADMIN_DATABASE_URL and the data folder."


def _silence_stdout() -> None:
    """The reader of our output has gone; nothing may be written at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
