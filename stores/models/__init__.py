"""Everything kvadmin keeps for itself. Nothing here is ever written into a mail server's store."""

from stores.models.alert import AlertKind, AlertRule
from stores.models.history import AuditEntry, TrashEntry
from stores.models.http import HttpLookup
from stores.models.limits import ImportedLimits
from stores.models.publication import Publication
from stores.models.run import ACTIVE_STATES, Census, Heartbeat, Run, RunAction, RunState
from stores.models.server import MailServer
from stores.models.store import VERSIONS, DefaultLookupStore, StaticEntry, Store
from stores.models.token import ApiToken

__all__ = [
    "ACTIVE_STATES",
    "VERSIONS",
    "AlertKind",
    "AlertRule",
    "ApiToken",
    "AuditEntry",
    "Census",
    "DefaultLookupStore",
    "Heartbeat",
    "HttpLookup",
    "ImportedLimits",
    "MailServer",
    "Publication",
    "Run",
    "RunAction",
    "RunState",
    "StaticEntry",
    "Store",
    "TrashEntry",
]
