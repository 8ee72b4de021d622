"""Is the installation able to work: its database, its queue, its worker and its scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from celery import current_app
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone
from kombu.exceptions import OperationalError

from stores.models import Heartbeat
from stores.services import runs

_BROKER_SECONDS: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the installation; `detail` says what is wrong, without addresses or secrets."""

    name: str
    ok: bool
    detail: str = ""


def parts() -> tuple[Part, ...]:
    """Database, broker, worker, beat. Two queries and one round trip to the broker, 2 s at most where it is silent."""
    try:
        seen = dict(Heartbeat.objects.values_list("name", "at"))
    except DatabaseError as error:
        connection.close()
        unknown = "not known without the database"
        return (Part("database", False, type(error).__name__), _broker(), Part("worker", False, unknown), Part("beat", False, unknown))
    now = timezone.now()
    found = [Part("database", True), _broker()]
    for name in (runs.WORKER, runs.BEAT):
        at = seen.get(name)
        if at is None:
            found.append(Part(name, False, "never seen"))
        else:
            silent = (now - at).total_seconds()
            found.append(
                Part(name, silent < runs.ALIVE.total_seconds(), "" if silent < runs.ALIVE.total_seconds() else f"silent for {silent:.0f} s")
            )
    return tuple(found)


def _broker() -> Part:
    try:
        with current_app.connection_for_write(connect_timeout=_BROKER_SECONDS) as link:
            link.ensure_connection(max_retries=1, interval_start=0, timeout=_BROKER_SECONDS)
            with link.channel():
                return Part("broker", True)
    except (OperationalError, OSError) as error:
        return Part("broker", False, type(error).__name__)
