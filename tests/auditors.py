"""Writers of the audit as processes of their own, for tests: `python -m tests.auditors WRITERS ROUNDS` on the database of the environment.

Every round of a writer appends a single entry, one that is settled, a batch of 20, and a batch that is rolled back.
"""

from __future__ import annotations

import json
import os
import sys
from multiprocessing import get_context
from typing import Any

import django


def write(name: str, rounds: int) -> None:
    django.setup()
    from django.db import transaction

    from stores.services import audit
    from stores.services.actor import Actor

    actor = Actor(name, "page")
    for number in range(rounds):
        audit.record(actor, "single", key=f"{number:04x}")
        note = audit.record(actor, "edit", outcome=audit.STARTED)
        audit.settle(note, audit.DONE, {"number": number})
        audit.append([audit.build(actor, "delete") for _ in range(20)])
        with transaction.atomic():
            audit.append([audit.build(actor, "never") for _ in range(3)])
            transaction.set_rollback(True)


def guarded() -> dict[str, bool]:
    """Which statements the database itself refuses."""
    from django.db import DatabaseError, connection, transaction

    refused = {}
    for statement in ("UPDATE stores_auditentry SET actor = 'eve'", "DELETE FROM stores_auditentry"):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)
                transaction.set_rollback(True)
            refused[statement.split()[0]] = False
        except DatabaseError as error:
            refused[statement.split()[0]] = "append-only" in str(error)
    return refused


def main() -> None:
    writers, rounds = int(sys.argv[1]), int(sys.argv[2])
    children = [get_context("spawn").Process(target=write, args=(f"writer {number}", rounds)) for number in range(writers)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    django.setup()
    from datetime import timedelta

    from django.utils import timezone

    from stores.models import AuditEntry
    from stores.services import audit_prune
    from stores.services.audit_verify import verify

    numbers = list(AuditEntry.chain.order_by("pk").values_list("pk", flat=True))
    found: dict[str, Any] = {"codes": [child.exitcode for child in children], "gaps": numbers != list(range(1, len(numbers) + 1))}
    found |= {"entries": len(numbers), "verdict": verify().as_json(), "guarded": guarded()}
    found["pruned"] = audit_prune.prune(timezone.now() + timedelta(days=36_000))
    found["after"] = verify().as_json()
    print(json.dumps(found))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvadmin.settings")
    main()
