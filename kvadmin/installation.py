"""What a start makes sure of: a migrated database, collected static files, an administrator and a store to begin with."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import InterfaceError

from kvadmin.environment import Environment
from kvadmin.logs import mask
from stores.models import Store
from stores.services.actor import Actor
from stores.services.embedded import create_embedded_store

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without the letters and digits that look alike."""


def migrate() -> bool:
    """Bring kvadmin's database up to date; True when there was something to do. Costs 0.1 s when there is not.

    Raises CommandError that names KVADMIN_DATABASE_URL when the database cannot be used.
    """
    try:
        executor = MigrationExecutor(connection)
        if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
            return False
        call_command("migrate", interactive=False, verbosity=0)
    except (DatabaseError, InterfaceError) as error:
        raise CommandError(
            f"kvadmin's own database cannot be used: {mask(str(error)).strip()} "
            "Check KVADMIN_DATABASE_URL, or the permissions of the data folder."
        ) from None
    return True


def collect_static() -> bool:
    """Compress and hash the static files into the data folder when any of them has changed; True when they had."""
    stamp_file, stamp = Path(settings.STATIC_ROOT) / ".stamp", _static_stamp()
    if stamp_file.is_file() and stamp_file.read_text() == stamp:
        return False
    call_command("collectstatic", interactive=False, verbosity=0, clear=True)
    stamp_file.write_text(stamp)
    return True


def _static_stamp() -> str:
    digest = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
    for finder in get_finders():
        for path, storage in finder.list([]):
            status = Path(storage.path(path)).stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def has_administrator() -> bool:
    """Whether somebody can sign in and do everything."""
    return bool(get_user_model()._default_manager.filter(is_superuser=True).exists())


def first_start(env: Environment) -> str | None:
    """On the very first start: the embedded default store and the administrator. Later starts change nothing.

    Returns the administrator's password when it was generated, to be shown once, else None.
    """
    users = get_user_model()._default_manager
    if has_administrator():
        return None
    if not Store.objects.exists():
        create_embedded_store(Actor.system("set-up"), env.data_dir / "stores" / "embedded.sqlite3")
    if users.filter(username=env.admin_user).exists():
        raise CommandError(f"There is no administrator, and the name {env.admin_user} is taken: set KVADMIN_ADMIN_USER to another one.")
    password = env.admin_password or "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
    users.create_superuser(username=env.admin_user, email="", password=password)
    return None if env.admin_password else password


def close_to_others(env: Environment) -> None:
    """Files made from now on are readable for kvadmin's user only, the database included."""
    os.umask(0o077)
    if env.data_dir.stat().st_uid == os.getuid():
        for name in ("kvadmin.sqlite3", "secret.key", "field.keys"):
            path = env.data_dir / name
            if path.is_file() and path.stat().st_mode & 0o077:
                path.chmod(0o600)
