"""The demo's two stores: where they are, and that they are there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kvadmin import broker
from stores.models import Store
from stores.services import census, demo, schedules
from stores.services.actor import Actor
from stores.services.definitions import create_store
from stores.services.embedded import make_data_store

VALKEY: Final = "demo-redis"
"""Name of the second embedded Valkey and of the store it serves."""
SQLITE: Final = "demo-sqlite"
_ORIGIN: Final = "created by up --demo"


def defined() -> bool:
    """Whether an earlier start made the demo's Redis store: then its server is run, demo or not."""
    return Store.objects.filter(pk=VALKEY, origin=_ORIGIN).exists()


def ensure(data_dir: Path) -> None:
    """Define and fill the demo stores that are missing, and have them counted. The embedded servers have to answer already."""
    actor = Actor.system("set-up")
    if not Store.objects.filter(pk=SQLITE).exists():
        path = data_dir / "stores" / "demo.sqlite3"
        make_data_store(path)
        store = create_store(actor, id=SQLITE, type="sqlite", settings={"path": str(path)}, version="0.11", origin=_ORIGIN)
        demo.fill(store)
        schedules.set_schedule(actor, store, "30 *")
        census.start(actor, store)
    if not Store.objects.filter(pk=VALKEY).exists():
        url = f"redis+unix://{broker.socket_path(data_dir, VALKEY)}?db=0"
        store = create_store(actor, id=VALKEY, type="redis", settings={"urls": url}, version="0.16", origin=_ORIGIN)
        demo.fill(store)
        census.start(actor, store)
