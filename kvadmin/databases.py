"""kvadmin's own database: a URL becomes Django's `DATABASES` entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dj_database_url

_SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY",
}
"""Web, worker and beat write to one file: WAL lets readers go on, and a transaction that will write waits at its beginning."""


def database(url: str, data_dir: Path) -> dict[str, Any]:
    """The entry of the default database. A relative SQLite path is inside the data folder. Raises ValueError."""
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite://").removeprefix("/"))
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": data_dir / path, "OPTIONS": dict(_SQLITE_OPTIONS)}
    found: dict[str, Any] = {**dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True)}
    if found["ENGINE"] == "django.db.backends.mysql":
        _serve_mysql_by_pymysql()
        options = {"charset": "utf8mb4", "isolation_level": "read committed", "init_command": "SET sql_mode='STRICT_TRANS_TABLES'"}
        found["OPTIONS"] = options | found.get("OPTIONS", {})
    return found


def _serve_mysql_by_pymysql() -> None:
    import pymysql  # only where a MySQL database is asked for

    pymysql.install_as_MySQLdb()
