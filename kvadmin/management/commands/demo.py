"""`demo`: the traffic of the demo stores; `up --demo` runs it."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connections

from kvadmin.demo import SQLITE, VALKEY
from stores.services.demo import Traffic

PAUSE = 0.5
"""Seconds between two events, which go to the two stores by turns."""
EVENTS = 4
"""Events on one connection; then the definition is read again."""


OUTAGE = 5.0
"""Seconds to wait when a store does not answer or is gone."""


class Command(BaseCommand):
    help = "Write into the demo stores what a small mail server would, until it is ended."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        stores = [Traffic(SQLITE), Traffic(VALKEY)]
        while True:
            for traffic in stores:
                if not traffic.run(EVENTS, lambda: time.sleep(PAUSE)):
                    time.sleep(OUTAGE)
            connections.close_all()
