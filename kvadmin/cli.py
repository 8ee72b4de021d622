"""The `kvadmin` command: Django's commands over kvadmin's settings, with the environment checked before anything is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kvadmin.environment import BadEnvironment, Environment

_SERVERS = ("up", "web", "worker", "beat", "broker")
_OPTIONS = {"--data-dir": "KVADMIN_DATA_DIR", "--host": "KVADMIN_HOST", "--port": "KVADMIN_PORT"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command line (`sys.argv` by default). Exits with 0 done, 1 refused or failed, 2 usage."""
    arguments = list(sys.argv if argv is None else argv)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvadmin.settings")
    _take_options(arguments)
    try:
        Environment.read()
    except BadEnvironment as error:
        sys.exit(f"kvadmin: {error}")
    from django.core.management import ManagementUtility

    utility = ManagementUtility(arguments)
    utility.prog_name = "kvadmin" if utility.prog_name == "__main__.py" else utility.prog_name
    utility.execute()


def _take_options(arguments: Sequence[str]) -> None:
    """These options decide how the settings are read, so they are looked at before they are. Paths are relative to the present folder."""
    if len(arguments) < 2 or arguments[1] not in _SERVERS:
        return
    for position, argument in enumerate(arguments[2:], 2):
        option, equals, value = argument.partition("=")
        name = _OPTIONS.get(option, "")
        if name and not equals and position + 1 < len(arguments):
            value = arguments[position + 1]
        if name and value:
            os.environ[name] = str(Path(value).expanduser().absolute()) if option == "--data-dir" else value
