"""A queue behind sentinels: found through them, with both passwords, and found again after a failover."""

from __future__ import annotations

import signal
from pathlib import Path

from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tests.running_up import RunningUp, wait_for
from tests.servers.redis import SentinelSet


def test_sentinels_as_a_queue(tmp_path: Path) -> None:
    servers = SentinelSet(service="kvqueue", password="pw-of-the-primary", sentinel_password="pw-of-the-sentinels")
    url = ";".join(f"sentinel://:pw-of-the-primary@127.0.0.1:{each.port}" for each in servers.sentinels)

    def worker_answers() -> bool:
        app = Celery(broker=url, set_as_current=False)
        app.conf.broker_transport_options = {"master_name": "kvqueue", "sentinel_kwargs": {"password": "pw-of-the-sentinels"}}
        try:
            return bool(app.control.ping(timeout=1))
        except (OSError, OperationalError, RedisError):
            return False
        finally:
            app.close()

    running = RunningUp(
        tmp_path / "data",
        KVADMIN_BROKER_URL=url,
        KVADMIN_BROKER_MASTER="kvqueue",
        KVADMIN_BROKER_SENTINEL_PASSWORD="pw-of-the-sentinels",
    )
    try:
        running.wait_ready()
        wait_for(worker_answers, 60, "the worker does not answer")
        servers.replicated()
        servers.primary.kill()
        wait_for(worker_answers, 90, "the worker does not answer after the failover")
        assert "pw-of" not in running.log + running.output
    finally:
        running.end(signal.SIGKILL)
        servers.close()
