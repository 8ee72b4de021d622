"""A census that several workers share, of whom two are killed, ends with the figures of one that was counted in one go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import fill

ROOT = Path(__file__).resolve().parents[2]


def test_workers_that_share_a_census_and_die(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    fill.fill_sqlite(store, fill.rows(200_000, int(time.time())))
    keep = {name: value for name, value in os.environ.items() if not name.startswith("KVADMIN_")}
    environment = {**keep, "KVADMIN_DATA_DIR": str(tmp_path / "data"), "DJANGO_SETTINGS_MODULE": "kvadmin.settings"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True, timeout=120)
    command = [sys.executable, "-m", "tests.services.census_workers", str(store)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["state"], found["error"], found["swept"], found["left"]) == ("done", "", 1, 0)
    assert 0 < found["saved"] < found["keys"] == 200_000
    assert found["same"], found
    assert found["scanned"] == 200_000, found
