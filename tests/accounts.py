"""Accounts for tests: signed in a moment ago, as the pages ask for before dangerous acts."""

from __future__ import annotations

import time
from typing import Any

from allauth.account.internal.userkit import user_id_to_str
from django.contrib.auth.models import User
from django.test import Client

from stores.models import Account, Store, StoreGrant


def sign_in(client: Client, user: User, seconds_ago: float = 0) -> Client:
    """A session of the user's, begun or confirmed so many seconds ago."""
    client.force_login(user)
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - seconds_ago, "reauthenticated": True}]
    session["account_authentication_methods_user"] = user_id_to_str(user)
    session.save()
    return client


def make(name: str, role: str, **grants: str) -> User:
    """An account with a role for all stores, and roles for single ones by id."""
    admin = role == "admin"
    user = User.objects.create_user(name, password="correct horse", is_superuser=admin, is_staff=admin)
    Account.objects.create(user=user, role=role)
    for store_id, granted in grants.items():
        StoreGrant.objects.create(user=user, store=Store.objects.get(pk=store_id), role=granted)
    return user


def signed_in(name: str, role: str, **grants: Any) -> Client:
    """A browser of a new account."""
    return sign_in(Client(), make(name, role, **grants))
