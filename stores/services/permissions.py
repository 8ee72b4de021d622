"""May this actor do that? The one place that answers, for services, pages, API and command line alike.

Every service that changes or reveals something calls `require`; pages ask `allows` to draw only what is possible. What an
actor may see is also kept from it where stores are looked up (`stores.sight`): a store without access does not exist for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from stores.errors import Forbidden
from stores.models import Store
from stores.services import audit
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING, NOTHING, Permission, Rights, Role

__all__ = ["EVERYTHING", "NOTHING", "Forbidden", "Permission", "Rights", "Role", "allows", "allows_somewhere", "require", "why_not"]

_ACTS: Final[Mapping[Permission, object]] = {
    Permission.VIEW: gettext_lazy("look at this"),
    Permission.REVEAL: gettext_lazy("see secret values in clear"),
    Permission.EDIT: gettext_lazy("change keys"),
    Permission.BULK: gettext_lazy("change many keys at once"),
    Permission.PURGE: gettext_lazy("count or purge"),
    Permission.CONFIGURE: gettext_lazy("change settings"),
    Permission.AUDIT: gettext_lazy("read the audit"),
    Permission.ADMIN: gettext_lazy("manage accounts"),
}
_OPERATOR: Final = frozenset({Permission.EDIT, Permission.BULK, Permission.PURGE})


def allows(actor: Actor, permission: Permission | str, store: Store | str | None = None) -> bool:
    """Whether the actor may do it: on a store, or without one on all of them. No query."""
    return actor.rights.has(Permission(permission), store.pk if isinstance(store, Store) else store)


def allows_somewhere(actor: Actor, permission: Permission | str) -> bool:
    """Whether the actor may do it on any store at all; for pages that are about several."""
    return actor.rights.anywhere(Permission(permission))


def words(permission: Permission) -> str:
    """One line for whoever may not do it."""
    return _("Your account may not %(act)s.") % {"act": _ACTS[permission]}


def why_not(actor: Actor, permission: Permission | str, store: Store | str | None = None) -> str:
    """One line why the actor may not; empty when it may."""
    if allows(actor, permission, store):
        return ""
    act = _ACTS[Permission(permission)]
    if store is None:
        return words(Permission(permission))
    return _("Your account may not %(act)s in store %(store)s.") % {"act": act, "store": store}


def require(actor: Actor, permission: Permission, store: Store | str | None = None) -> None:
    """Raise Forbidden when the actor may not; the attempt is audited. Costs nothing when it may."""
    if not allows(actor, permission, store):
        refuse(actor, permission, store)


def require_somewhere(actor: Actor, permission: Permission) -> None:
    """Raise Forbidden when the actor may do it on no store at all."""
    if not allows_somewhere(actor, permission):
        refuse(actor, permission, None)


def refuse(actor: Actor, permission: Permission, store: Store | str | None) -> None:
    """Put the attempt on record and raise Forbidden."""
    audit.record(actor, "refused", store or "", after={"permission": permission.value}, outcome=audit.REFUSED)
    role = Role.OPERATOR if permission in _OPERATOR else Role.VIEWER if permission is Permission.VIEW else Role.ADMIN
    fix = _("An administrator can give it the role %(role)s.") % {"role": role.value}
    if actor.rights.only is not None and permission not in actor.rights.only:
        fix = _("Use a token with the scope that it takes.")
    raise Forbidden(why_not(actor, permission, store), fix)
