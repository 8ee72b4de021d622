"""Who may do what: the role of an account, its grants on single stores, and the switches of the whole installation."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from stores.models.store import Store

ROLES = [("none", "none"), ("viewer", "viewer"), ("operator", "operator"), ("admin", "administrator")]


class Account(models.Model):
    """The role of a user for all stores. A superuser is an administrator, whatever stands here."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="account")
    role = models.CharField(max_length=8, choices=ROLES, default="none")
    from_provider = models.BooleanField(default=False)
    """The role comes from the claims of an OpenID Connect provider and is set anew at each sign-in."""
    must_change = models.BooleanField(default=False)
    """The password was set by somebody else: the user chooses another one after signing in."""

    def __str__(self) -> str:
        return f"{self.user_id} {self.role}"


class StoreGrant(models.Model):
    """The role of a user for one store, in place of the one for all; "none" hides the store."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="store_grants")
    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="grants")
    role = models.CharField(max_length=8, choices=ROLES)

    class Meta:
        ordering = ["store"]
        constraints = [models.UniqueConstraint(fields=["user", "store"], name="one_grant_per_user_and_store")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.store_id} {self.role}"


class Policy(models.Model):
    """The one row of switches that are about the whole installation."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    read_only = models.BooleanField(default=False)
    """kvadmin writes into no store."""
    second_factor_from = models.CharField(max_length=8, choices=ROLES, blank=True)
    """Accounts with this role or a higher one need a second factor; empty: nobody does."""

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_policy")]

    def __str__(self) -> str:
        return "read only" if self.read_only else "writable"


class SharedValue(models.Model):
    """A value that all processes share for a while: Django's database cache, which counts sign-ins, codes and wrong tokens."""

    cache_key = models.CharField(max_length=255, primary_key=True)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "stores_sharedvalue"

    def __str__(self) -> str:
        return self.cache_key
