"""FoundationDB's client: loaded when first needed, one database handle a cluster file, retries through the client's own loop."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from stores.errors import BadConfig, NotSupported, StoreError, StoreRefused, StoreUnavailable
from stores.texts import joined, say

API_VERSION: Final = 730
UNCERTAIN: Final = frozenset({1021, 1031, 1039})
"""Errors after which a commit may have happened: unknown result, timed out, the cluster's version changed."""

VERSION_SECONDS: Final = 600.0

Result = TypeVar("Result")
Work = Callable[[Any, bool], Result]
"""Gets the transaction, and whether an earlier try may have been committed. Runs again after a conflict."""


@dataclass(frozen=True, slots=True)
class Options:
    """How one store uses the cluster."""

    cluster_file: str | None
    """None: the client's default file."""
    timeout_ms: int
    retry_limit: int
    max_retry_delay_ms: int
    machine: str = ""
    datacenter: str = ""


_lock = threading.Lock()
_opened_by = 0
"""The process that started the client's network thread; a forked child has none and would wait for ever."""


def client() -> Any:
    """The module `fdb` with its API version set. Raises NotSupported that says what to install."""
    try:
        import fdb
    except ModuleNotFoundError:
        raise NotSupported(
            say("FoundationDB stores need the Python package foundationdb."), say("Install it: pip install 'kvadmin[foundationdb]'")
        ) from None
    try:
        fdb.api_version(API_VERSION)
    except Exception as error:  # the binding raises bare ones when it finds no library, which no narrower clause can name
        if type(error) is not Exception and not isinstance(error, RuntimeError | OSError):
            raise
        raise NotSupported(
            say("FoundationDB's client library cannot be used: %(error)s", error=error),
            say("Install the package foundationdb-clients of the server's version (7.3) on this machine."),
        ) from None
    return fdb


def database(options: Options) -> Any:
    """The handle of the cluster, opened once a process. Raises StoreRefused, and StoreUnavailable in a forked child."""
    global _opened_by
    fdb = client()
    with _lock:
        if _opened_by not in (0, os.getpid()):
            raise StoreUnavailable(
                say("This process was forked from one that had FoundationDB open and cannot use it."),
                say("Restart kvadmin's web and worker processes."),
            )
        _opened_by = os.getpid()
        try:
            opened = fdb.open(options.cluster_file)
            opened.options.set_transaction_timeout(options.timeout_ms)
            if options.machine:
                opened.options.set_machine_id(options.machine)
            if options.datacenter:
                opened.options.set_datacenter_id(options.datacenter)
        except fdb.FDBError as error:
            raise translate(error, options) from None
    return opened


def run(options: Options, work: Work[Result], *, changes: bool = False) -> Result:
    """Run in one transaction and commit; conflicts and short outages are tried again as the client advises, within the timeout.

    `changes`: whether the work writes, so that an error tells what may have happened.
    """
    fdb, transaction = client(), None
    uncertain = False
    handle = database(options)
    try:
        transaction = handle.create_transaction()
        transaction.options.set_timeout(options.timeout_ms)
        transaction.options.set_retry_limit(options.retry_limit)
        transaction.options.set_max_retry_delay(options.max_retry_delay_ms)
        while True:
            try:
                result = work(transaction, uncertain)
                transaction.commit().wait()
                return result
            except fdb.FDBError as error:
                uncertain = uncertain or error.code in UNCERTAIN
                transaction.on_error(error.code).wait()
    except fdb.FDBError as error:
        raise translate(error, options, changes=changes) from None


def translate(error: Any, options: Options, *, changes: bool = False) -> StoreError:
    """The client's error as one that says what to do."""
    file = options.cluster_file or say("the default cluster file")
    said = f"{_words(error)} ({error.code})"
    match error.code:
        case 1515:
            return StoreRefused(
                say("There is no cluster file: %(file)s.", file=file), say("Give the path of the server's fdb.cluster as cluster-file.")
            )
        case 2104 | 1511 | 1513:
            return StoreRefused(
                say("The cluster file cannot be used: %(file)s: %(said)s", file=file, said=said),
                say("Copy the server's fdb.cluster, readable for kvadmin."),
            )
        case 1031:
            return StoreUnavailable(
                joined(
                    say("FoundationDB did not answer within %(seconds)s s.", seconds=f"{options.timeout_ms / 1000:g}"),
                    say("It is not known whether the change was made.") if changes else "",
                ),
                say("Check that the cluster runs and that the cluster file names it; then look at the key again.")
                if changes
                else say("Check that the cluster runs and that the cluster file names it."),
            )
        case 1021 | 1039:
            return StoreUnavailable(say("It is not known whether the change was made: %(said)s", said=said), say("Look at the key again."))
        case 1020:
            return StoreUnavailable(say("Others changed the same keys again and again."), say("Try again."))
        case 2101 | 2103:
            return BadConfig(say("The value is too large for one transaction of FoundationDB (10 MB)."), say("Shorten it."), "value")
        case 2102:
            return BadConfig(say("The key is too long for FoundationDB (10,000 bytes)."), say("Shorten it."), "key")
        case 1038:
            return StoreRefused(
                say("The database is locked: %(said)s", said=said), say("An administrator of the cluster has locked it; unlock it first.")
            )
        case 6000 | 6001:
            return StoreRefused(
                say("FoundationDB refused the access: %(said)s", said=said), say("Give this client the rights or the certificate it needs.")
            )
    return StoreUnavailable(say("FoundationDB: %(said)s", said=said), say("Look at the cluster's status with fdbcli."))


def _words(error: Any) -> str:
    """The client's description, which its binding gives as bytes."""
    description = error.description
    return description.decode(errors="replace") if isinstance(description, bytes) else str(description)


_versions: dict[str | None, tuple[float, str]] = {}


def server_version(options: Options) -> str:
    """The version that the cluster's processes report; empty when they do not say. Asked again after ten minutes."""
    known = _versions.get(options.cluster_file)
    if known is None or time.monotonic() - known[0] > VERSION_SECONDS:
        known = _versions[options.cluster_file] = time.monotonic(), _ask_version(options)
    return known[1]


def _ask_version(options: Options) -> str:
    try:
        raw = run(options, lambda transaction, _: transaction.get(b"\xff\xff/status/json").wait())
        processes = json.loads(bytes(raw) if raw.present() else b"{}").get("cluster", {}).get("processes", {})
    except (StoreError, ValueError):
        return ""
    return max((str(process.get("version", "")) for process in processes.values()), default="")
