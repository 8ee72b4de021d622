"""Real Celery workers on a real queue share a purge and a count of a real store; one is killed midway, and the result is the truth."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import fill
from tests.fixtures_path import ROOT
from tests.running_up import clean_environment
from tests.servers import postgresql
from tests.servers.redis import RedisServer

KEYS = 60_000


def test_workers_that_share_runs_and_die(tmp_path: Path) -> None:
    server, queue = postgresql.server(), RedisServer()
    database = server.create_database()
    now = int(time.time())
    rows = [row for row in islice(fill.rows(KEYS, now), KEYS) if row[1] is None or not now < _expiry(row[1]) < now + 3600]
    (tmp_path / "gate").mkdir()
    environment = clean_environment(
        KVADMIN_DATA_DIR=str(tmp_path / "data"),
        KVADMIN_BROKER_URL=f"{queue.url}/0",
        KVADMIN_TASK_WORKERS="1",
        KVADMIN_RUN_WORKERS="3",
        KVADMIN_TEST_GATE=str(tmp_path / "gate"),
        DJANGO_SETTINGS_MODULE="kvadmin.settings",
    )
    with server.connect(database) as connection:
        fill.fill_postgresql(connection, rows)
        try:
            command = [sys.executable, "-m", "tests.services.celery_orders", json.dumps(server.settings(database))]
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
            found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            live = {key: number for key, row, number in rows if row is None or _expiry(row) > now}
            _purged_as_by_one(found, len(rows) - len(live))
            left, numbers = ({row[0]: row[1] for row in connection.execute(f"SELECT k, v FROM {table}").fetchall()} for table in "my")
        finally:
            queue.stop()
    server.drop_database(database)
    assert left == {key: row for key, row, _ in rows if row is not None and key in live}
    assert numbers == {key: number for key, number in live.items() if number is not None}
    counted = found["census"]
    assert (counted["state"], counted["error"], counted["attempts"], counted["swept"]) == ("done", "", 2, 1)
    assert counted["saved"], "something was counted before the death"
    assert counted["same"] == [True] * 3, "nothing is counted twice, nothing is left out"
    assert counted["largest"]
    assert (counted["keys"], counted["left"]) == (len(live), 0)


def _purged_as_by_one(found: dict[str, Any], gone: int) -> None:
    purge, expired = found["purge"], found["expired"]
    assert (purge["state"], purge["error"], purge["left"]) == ("done", "", 0)
    assert purge["parts"] == 4
    assert purge["at_work"] == 3 == purge["saved"], "each worker was in the middle of a part of its own"
    assert purge["uncounted"] > 0
    assert purge["removed"] == expired - purge["uncounted"], "nothing is counted twice; the step that was not told is not counted"
    assert purge["workers"] == 2, "the part of the dead one was finished by another"
    assert expired == gone


def _expiry(row: bytes) -> int:
    return int.from_bytes(row[8:16] if row[:8] == bytes(8) else row[:8], "big")
