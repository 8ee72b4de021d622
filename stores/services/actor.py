"""Who acts, through what, and what it may do: every write, run and audit entry names one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stores.models import StoreGrant
from stores.services.rights import EVERYTHING, NOTHING, Rights, Role

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser

PAGE: Final = "page"
COMMAND_LINE: Final = "command line"
SCHEDULE: Final = "schedule"
SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """`name` is what people read, `via` one of page, command line, api, schedule, system; `address` the client's IP.

    Without `rights` an actor may do nothing.
    """

    name: str
    via: str
    user_id: int | None = None
    address: str | None = None
    rights: Rights = NOTHING

    @classmethod
    def of_user(cls, user: AbstractBaseUser | AnonymousUser, via: str = PAGE, address: str | None = None) -> Actor:
        """An account with its role and grants; two queries the first time for a user who is no administrator."""
        return cls(user.get_username(), via, user.pk, address, rights_of(user))

    @classmethod
    def system(cls, name: str = SCHEDULE) -> Actor:
        """kvadmin itself, which may do everything: the schedule, the set-up, the sweeper."""
        return cls(name, name if name == SCHEDULE else SYSTEM, rights=EVERYTHING)

    @classmethod
    def command_line(cls) -> Actor:
        """Whoever may run commands on this machine, and so may do everything."""
        return cls(COMMAND_LINE, COMMAND_LINE, rights=EVERYTHING)


def rights_of(user: AbstractBaseUser | AnonymousUser) -> Rights:
    """What an account may do; kept with the user object, so for one request. Nothing for visitors and switched-off accounts."""
    known: Rights | None = getattr(user, "_kvadmin_rights", None)
    if known is None:
        known = _rights(user)
        user._kvadmin_rights = known  # type: ignore[union-attr]
    return known


def role_of(user: AbstractBaseUser | AnonymousUser) -> Role:
    """The role for all stores. A superuser is an administrator; an account without a row has no role."""
    if getattr(user, "is_superuser", False):
        return Role.ADMIN
    account = getattr(user, "account", None)
    return Role.NONE if account is None else Role(account.role)


def _rights(user: AbstractBaseUser | AnonymousUser) -> Rights:
    if user.pk is None or not user.is_active:
        return NOTHING
    role = role_of(user)
    if role is Role.ADMIN:
        return EVERYTHING
    granted = StoreGrant.objects.filter(user_id=user.pk).values_list("store_id", "role")
    grants = {store_id: Role(found) for store_id, found in granted}
    return Rights(role, grants)
