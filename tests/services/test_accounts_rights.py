"""What roles, grants and tokens allow; which stores exist for whom."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from stores import sight
from stores.errors import BadConfig, Busy, Forbidden, NotSupported, ReadOnly, UnknownStore
from stores.models import AuditEntry, Policy, Store
from stores.registry import find_store, visible_stores
from stores.services import accounts, bulk_change, census, definitions, edit, purge, switches, tokens, trash
from stores.services.actor import Actor, rights_of
from stores.services.filters import KeyFilter
from stores.services.lookup import Lookups
from stores.services.permissions import Permission, allows, why_not
from stores.services.rights import EVERYTHING, NOTHING, Rights, Role
from stores.types import Pace
from tests.accounts import make
from tests.services.conftest import new_memory, plant

pytestmark = pytest.mark.django_db


def actor_of(user: User) -> Actor:
    return Actor.of_user(User.objects.get(pk=user.pk))


def test_an_actor_without_rights_may_nothing(memory: Store) -> None:
    nobody = Actor("ana", "page")
    with pytest.raises(Forbidden):
        edit.set_value(nobody, memory, b"k", b"v")
    assert nobody.rights == NOTHING and Actor.command_line().rights == Actor.system().rights == EVERYTHING


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("none", set()),
        ("viewer", {"view"}),
        ("operator", {"view", "edit", "bulk", "purge"}),
        ("admin", {str(permission) for permission in Permission}),
    ],
)
def test_roles(memory: Store, role: str, may: set[str]) -> None:
    actor = actor_of(make("ana", role))
    assert {str(each) for each in Permission if allows(actor, each)} == may
    assert {str(each) for each in Permission if allows(actor, each, memory)} == may


def test_grants_raise_lower_and_hide(memory: Store) -> None:
    for store_id in ("other", "secret", "third"):
        new_memory(store_id)
    actor = actor_of(make("ana", "operator", other="viewer", secret="none", third="admin"))
    assert allows(actor, "edit", "mem") and not allows(actor, "edit", "other") and allows(actor, "configure", "third")
    assert not allows(actor, "configure") and not allows(actor, "view", "secret")
    assert "other" in why_not(actor, "edit", "other")
    with sight.looking(actor.rights.sight):
        assert set(visible_stores().values_list("pk", flat=True)) == {"mem", "other", "third"}
        with pytest.raises(UnknownStore):
            find_store("secret")
    assert find_store("secret").pk == "secret"


def test_a_role_of_none_sees_its_grants_only(memory: Store) -> None:
    new_memory("other")
    actor = actor_of(make("ana", "none", other="viewer"))
    assert [info.id for info in _seen_by(actor)] == ["other"]
    assert allows(actor, "view") and not allows(actor, "view", "mem")
    assert _seen_by(actor_of(make("ben", "none"))) == []


def _seen_by(actor: Actor) -> list[definitions.StoreInfo]:
    with sight.looking(actor.rights.sight):
        return definitions.list_stores()


def test_refused_attempts_are_audited(memory: Store) -> None:
    viewer = actor_of(make("ana", "viewer"))
    for attempt in (
        lambda: edit.set_value(viewer, memory, b"k", b"v"),
        lambda: purge.start(viewer, memory, Pace.GENTLE),
        lambda: census.start(viewer, memory),
        lambda: definitions.update_store(viewer, memory, read_only=True),
        lambda: accounts.add(viewer, "ben", Role.ADMIN),
        lambda: switches.save(viewer, read_only=False, second_factor_from=None),
    ):
        with pytest.raises(Forbidden) as caught:
            attempt()
        assert caught.value.fix
    found = AuditEntry.objects.filter(action="refused", outcome="refused", actor="ana")
    assert [entry.after["permission"] for entry in found.order_by("pk")] == ["edit", "purge", "purge", "configure", "admin", "admin"]
    assert not User.objects.filter(username="ben").exists()


def test_a_hidden_store_is_refused_in_an_expression_never_answered_by_the_default_one(memory: Store) -> None:
    secret = new_memory("secret")
    plant(secret, b"k", b"v")
    actor = actor_of(make("ana", "viewer", secret="none"))
    with sight.looking(actor.rights.sight), Lookups(actor) as lookups, pytest.raises(Forbidden):
        lookups.key_get("secret", b"k")
    with sight.looking(actor.rights.sight), Lookups(actor) as lookups, pytest.raises(UnknownStore):
        lookups.key_get("nowhere", b"k")


def test_the_trash_of_a_hidden_store_is_hidden(memory: Store) -> None:
    plant(memory, b"k", b"v")
    edit.delete_key(Actor.command_line(), memory, b"k")
    entry = trash.list_trash().rows[0].trash
    actor = actor_of(make("ana", "operator", mem="none"))
    with sight.looking(actor.rights.sight):
        assert trash.list_trash().rows == ()
        assert [each.state for each in trash.restore_many(actor, [entry.pk])] == ["failed"]


def test_copying_needs_the_right_in_both_stores(memory: Store) -> None:
    from stores.services import bulk
    from stores.services.bulk_preview import Confirmed

    new_memory("other")
    actor = actor_of(make("ana", "operator", other="viewer"))
    wanted = Confirmed(bulk_change.Change(bulk_change.Do.COPY, KeyFilter(), 0.0, to="other"), 0, False, 0)
    with pytest.raises(Forbidden, match="other"):
        bulk.start(actor, memory, wanted)


def test_a_token_does_no_more_than_its_owner_now(memory: Store) -> None:
    owner = make("ana", "admin")
    token, _ = tokens.issue(actor_of(owner), "t", ["read", "edit"])
    assert allows(tokens.actor_of(token, None), "edit", memory) and not allows(tokens.actor_of(token, None), "purge", memory)
    make("ben", "admin")
    accounts.set_role(Actor.command_line(), owner, Role.VIEWER)
    token.refresh_from_db()
    token.owner = User.objects.get(pk=owner.pk)
    assert not allows(tokens.actor_of(token, None), "edit", memory) and allows(tokens.actor_of(token, None), "view", memory)


def test_a_token_of_single_stores_sees_no_others() -> None:
    rights = Rights(Role.OPERATOR, {"hidden": Role.NONE}).cut(frozenset({Permission.VIEW}), frozenset({"a", "hidden"}))
    assert rights.sight() == sight.Sight(only=frozenset({"a"}))
    assert rights.has(Permission.VIEW, "a") and not rights.has(Permission.VIEW, "b") and not rights.has(Permission.EDIT, "a")


def test_tokens_are_their_owners(memory: Store) -> None:
    ana, ben = actor_of(make("ana", "operator")), actor_of(make("ben", "operator"))
    token, _ = tokens.issue(ana, "t", ["read"])
    assert tokens.listed(ben) == [] and tokens.listed(ana) == [token]
    from stores.errors import KeyNotFound

    with pytest.raises(KeyNotFound):
        tokens.revoke(ben, token.pk)
    tokens.revoke(actor_of(make("root", "admin")), token.pk)


def test_the_last_administrator_stays(memory: Store) -> None:
    root = make("root", "admin")
    machine = Actor.command_line()
    with pytest.raises(Busy):
        accounts.set_role(machine, root, Role.VIEWER)
    with pytest.raises(Busy):
        accounts.set_active(machine, root, False)
    second = make("second", "admin")
    with pytest.raises(NotSupported):
        accounts.set_role(actor_of(root), root, Role.VIEWER)
    accounts.set_active(actor_of(root), second, False)
    with pytest.raises(Busy):
        accounts.set_role(machine, root, Role.VIEWER)
    assert rights_of(User.objects.get(pk=second.pk)) == NOTHING


def test_accounts_are_checked(db: Any) -> None:
    machine = Actor.command_line()
    user, password = accounts.add(machine, "Ana", Role.VIEWER)
    assert len(password) == 19 and user.check_password(password) and user.account.must_change
    for name in ("ana", "a b", "", "x" * 151):
        with pytest.raises(BadConfig) as caught:
            accounts.add(machine, name, Role.VIEWER)
        assert caught.value.field == "name"
    with pytest.raises(BadConfig) as wrong:
        accounts.add(machine, "ben", Role.VIEWER, "12345")
    assert wrong.value.field == "password"
    assert "password" not in str(AuditEntry.objects.filter(action="user-add").values_list("after", flat=True))


@pytest.mark.parametrize("switch", ["row", "environment"])
def test_read_only_for_all(memory: Store, settings: Any, switch: str) -> None:
    if switch == "row":
        switches.save(Actor.command_line(), read_only=True, second_factor_from=None)
    else:
        settings.KVADMIN_READ_ONLY = True
    for attempt in (lambda: edit.set_value(Actor.command_line(), memory, b"k", b"v"), lambda: purge.start(Actor.command_line(), memory)):
        with pytest.raises(ReadOnly):
            attempt()
    settings.KVADMIN_READ_ONLY = False
    Policy.objects.all().delete()
    edit.set_value(Actor.command_line(), memory, b"k", b"v")
