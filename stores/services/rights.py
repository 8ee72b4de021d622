"""What an account may do: its role, what single stores add or take away, and what a token leaves of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from stores.sight import SEES_ALL, Sight


class Permission(StrEnum):
    """One kind of act. AUDIT and ADMIN are about the installation, the others about a store or, without one, about all."""

    VIEW = "view"
    REVEAL = "reveal"
    """Codes, tokens and other secret values in clear."""
    EDIT = "edit"
    """Write or delete one key, restore from the trash."""
    BULK = "bulk"
    """Bulk runs, removal of whole sets, exports of a filter, import of keys."""
    PURGE = "purge"
    """Purge, count now."""
    CONFIGURE = "configure"
    """Definitions, the default, schedules, alerts, import of a configuration, the mail server, limits, publishing."""
    AUDIT = "audit"
    ADMIN = "admin"
    """Accounts, grants, tokens of others, the switches of the installation."""


class Role(StrEnum):
    """Of an account for all stores, or of a grant for one. NONE sees nothing but what is granted."""

    NONE = "none"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


OF_ROLE: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.NONE: frozenset(),
    Role.VIEWER: frozenset({Permission.VIEW}),
    Role.OPERATOR: frozenset({Permission.VIEW, Permission.EDIT, Permission.BULK, Permission.PURGE}),
    Role.ADMIN: frozenset(Permission),
}
OF_SCOPE: Final[Mapping[str, frozenset[Permission]]] = {
    "read": frozenset({Permission.VIEW}),
    "edit": frozenset({Permission.EDIT, Permission.BULK}),
    "purge": frozenset({Permission.PURGE}),
    "admin": frozenset(Permission),
}
"""Scopes of API tokens."""


@dataclass(frozen=True, slots=True)
class Rights:
    """`only` and `stores` are the limits of a token, None where there are none. Grants do not lower an administrator."""

    role: Role = Role.NONE
    grants: Mapping[str, Role] = field(default_factory=dict)
    only: frozenset[Permission] | None = None
    stores: frozenset[str] | None = None

    def role_on(self, store_id: str) -> Role:
        """The role for one store."""
        return self.role if self.role is Role.ADMIN else self.grants.get(store_id, self.role)

    def has(self, permission: Permission, store_id: str | None = None) -> bool:
        """Whether the act is allowed: on a store, or without one by the role for all. Looking is also allowed who sees one store."""
        if self.only is not None and permission not in self.only:
            return False
        if store_id is not None:
            return (self.stores is None or store_id in self.stores) and permission in OF_ROLE[self.role_on(store_id)]
        if permission is Permission.VIEW and any(role is not Role.NONE for role in self.grants.values()):
            return True
        return permission in OF_ROLE[self.role]

    def anywhere(self, permission: Permission) -> bool:
        """Whether the act is allowed on all stores or on at least one."""
        return self.has(permission) or any(self.has(permission, store_id) for store_id in self.grants)

    def sight(self) -> Sight:
        """The stores that exist for this account."""
        if self.role is Role.ADMIN and self.stores is None:
            return SEES_ALL
        hidden = frozenset(store_id for store_id, role in self.grants.items() if role is Role.NONE)
        if self.role is not Role.NONE:
            return Sight(hidden=hidden) if self.stores is None else Sight(only=self.stores - hidden)
        granted = frozenset(self.grants) - hidden
        return Sight(only=granted if self.stores is None else granted & self.stores)

    def cut(self, scopes: frozenset[Permission], stores: frozenset[str] | None) -> Rights:
        """What a token with these limits leaves."""
        return Rights(self.role, self.grants, scopes, stores)


EVERYTHING: Final = Rights(Role.ADMIN)
NOTHING: Final = Rights()


def of_scopes(scopes: list[str]) -> frozenset[Permission]:
    """The permissions of a token's scopes."""
    return frozenset[Permission]().union(*(OF_SCOPE.get(scope, frozenset()) for scope in scopes))
