"""Celery tasks: parse, call a service. Runs go to the queue `runs`, all others are short."""

from __future__ import annotations

from celery import shared_task

from stores.services import (
    alerts,
    audit_prune,
    audit_verify,
    bulk,
    census,
    census_schedule,
    errands,
    http_lookups,
    keyfile_run,
    purge,
    runs,
    trash,
)
from stores.services import tidy as tidying


@shared_task
def run_purge(run_id: str) -> None:
    """Do a queued purge; a repeated message does nothing."""
    purge.execute(run_id)


@shared_task
def run_census(run_id: str) -> None:
    """Do a queued census; a repeated message does nothing."""
    census.execute(run_id)


@shared_task
def run_census_parts(run_id: str) -> None:
    """Count parts of a census that another worker leads; a message too late or repeated does nothing."""
    census.assist(run_id)


@shared_task
def run_purge_parts(run_id: str) -> None:
    """Purge parts of a store whose purge another worker leads; a message too late or repeated does nothing."""
    purge.assist(run_id)


@shared_task
def run_bulk(run_id: str) -> None:
    """Do a queued bulk change; a repeated message does nothing."""
    bulk.execute(run_id)


@shared_task
def run_tidy(run_id: str) -> None:
    """Do queued work on a store's space; a repeated message does nothing."""
    tidying.execute(run_id)


@shared_task
def scheduled_purge(store_id: str) -> None:
    """Start the purge that a store's schedule wants now."""
    purge.scheduled(store_id)


@shared_task
def watch_schedules() -> None:
    """Start forgotten slots, record missed ones; every minute."""
    purge.catch_up()


@shared_task
def count_stores() -> None:
    """Start the counts whose time has come; every minute."""
    census_schedule.start_due()


@shared_task
def refresh_lists() -> None:
    """Fetch the lists of HTTP lookups whose time has come, one after another; every minute."""
    http_lookups.refresh_due()


@shared_task
def do_errand(errand_id: str) -> None:
    """Ask what a page wants to know of another machine; a repeated message does nothing."""
    errands.execute(errand_id)


@shared_task
def check_alerts() -> None:
    """Check the rules and tell what has begun or ended; every minute."""
    alerts.evaluate()


@shared_task
def sweep_runs() -> None:
    """Send lost runs again, forget old errands; every 30 seconds."""
    runs.sweep()
    errands.forget_old()


@shared_task
def heartbeat() -> None:
    """A sign of life of beat and worker; every 20 seconds."""
    runs.beat()


@shared_task
def verify_audit(whole: bool = False) -> None:
    """See whether the audit is still what was written: what is new each hour, all of it once a day."""
    audit_verify.check(whole=whole)


@shared_task
def tidy() -> None:
    """Throw away old trash, old runs and old entries of the audit; daily."""
    audit_prune.prune()
    trash.empty_expired()
    runs.prune()
    keyfile_run.remove_old_files()
