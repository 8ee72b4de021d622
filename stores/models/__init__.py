"""Everything kvadmin keeps for itself. Nothing here is ever written into a mail server's store."""

from stores.models.account import Account, Policy, SharedValue, StoreGrant
from stores.models.alert import AlertKind, AlertRule
from stores.models.audit import AuditCheck, AuditEntry, AuditHead
from stores.models.errand import Errand, ErrandState
from stores.models.history import TrashEntry
from stores.models.http import HttpLookup
from stores.models.limits import ImportedLimits
from stores.models.publication import Publication
from stores.models.reader import Reader
from stores.models.run import ACTIVE_STATES, Census, Heartbeat, Run, RunAction, RunState
from stores.models.run_part import RunPart
from stores.models.server import MailServer
from stores.models.store import VERSIONS, DefaultLookupStore, StaticEntry, Store
from stores.models.token import ApiToken

__all__ = [
    "ACTIVE_STATES",
    "VERSIONS",
    "Account",
    "AlertKind",
    "AlertRule",
    "ApiToken",
    "AuditCheck",
    "AuditEntry",
    "AuditHead",
    "Census",
    "DefaultLookupStore",
    "Errand",
    "ErrandState",
    "Heartbeat",
    "HttpLookup",
    "ImportedLimits",
    "MailServer",
    "Policy",
    "Publication",
    "Reader",
    "Run",
    "RunAction",
    "RunPart",
    "RunState",
    "SharedValue",
    "StaticEntry",
    "Store",
    "StoreGrant",
    "TrashEntry",
]
