"""The JSON API: tokens and scopes, keys with conditions, masking, problems, and every route asked without a token."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

import stores.tasks  # noqa: F401  (registers the tasks that queued runs name)
from stores.api.describe import Route, routes, table
from stores.api.v1 import schema
from stores.errors import BadConfig
from stores.models import ApiToken, AuditEntry, Store, TrashEntry
from stores.services import tokens
from stores.services.actor import Actor
from stores.services.keytokens import token_of
from tests.accounts import sign_in
from tests.fixtures_path import ROOT
from tests.services.conftest import captured as captured
from tests.services.conftest import memory as memory
from tests.services.conftest import new_memory, plant, plant_counter, soon, stored

Call = Callable[..., Any]


@pytest.fixture
def owner(db: None, django_user_model: Any) -> Actor:
    user = django_user_model.objects.create_superuser("ana", password="not used here")
    return Actor.of_user(user)


def caller(owner: Actor, *scopes: str, stores: tuple[str, ...] = ()) -> Call:
    """A function that asks the API with a token of these scopes."""
    _, secret = tokens.issue(owner, "test", scopes, stores)
    client = Client()

    def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {"Authorization": f"Bearer {secret}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        data = None if body is None else json.dumps(body)
        return client.generic(method, f"/api/v1{path}", data or "", content_type="application/json", headers=sent)

    return call


def test_keys_are_listed_written_and_deleted_conditionally(owner: Actor, memory: Store) -> None:
    call = caller(owner, "read", "edit")
    made = call("PUT", f"/stores/mem/keys/{token_of(b'k')}", {"value": "one", "expires": "1h"}, If_None_Match="*")
    assert made.status_code == 200, made.content
    etag = made["ETag"]
    assert call("PUT", f"/stores/mem/keys/{token_of(b'k')}", {"value": "x"}, If_None_Match="*").status_code in (409, 412)
    stale = call("PUT", f"/stores/mem/keys/{token_of(b'k')}", {"value": "two"}, If_Match='"wrong"')
    assert stale.status_code == 412
    assert stale["Content-Type"] == "application/problem+json"
    changed = call("PUT", f"/stores/mem/keys/{token_of(b'k')}", {"value_hex": "00ff"}, If_Match=etag)
    assert changed.status_code == 200
    assert changed.json()["value_hex"] == "00ff"
    assert changed.json()["expires_at"] == made.json()["expires_at"]
    blind = call("PATCH", f"/stores/mem/keys/{token_of(b'k')}", {"expires": None})
    assert (blind.status_code, blind.json()["code"]) == (428, "precondition-required")
    assert call("PUT", f"/stores/mem/keys/{token_of(b'k')}", {"value": "blind"}).status_code == 428
    assert call("DELETE", f"/stores/mem/keys/{token_of(b'k')}").status_code == 428
    assert stored(memory, b"k").value == b"\x00\xff"  # type: ignore[union-attr]
    never = call("PATCH", f"/stores/mem/keys/{token_of(b'k')}", {"expires": None}, If_Match=changed["ETag"])
    assert never.json()["expires_at"] is None
    listed = call("GET", "/stores/mem/keys?prefix=6b").json()
    assert [row["key_hex"] for row in listed["keys"]] == ["6b"]
    assert listed["complete"] is True
    assert call("DELETE", f"/stores/mem/keys/{token_of(b'k')}", If_Match="*").status_code == 200
    assert stored(memory, b"k") is None
    assert call("GET", f"/stores/mem/keys/{token_of(b'k')}").status_code == 404
    trash = call("GET", "/trash?store=mem").json()["entries"]
    restored = call("POST", f"/trash/{trash[0]['id']}/restore", {})
    assert restored.status_code == 200
    found = stored(memory, b"k")
    assert found is not None
    assert found.value == b"\x00\xff"
    assert AuditEntry.objects.filter(via="api", action="delete").count() == 1


def test_counters_are_set_and_added_to(owner: Actor, memory: Store) -> None:
    call = caller(owner, "edit", "read")
    assert call("PUT", f"/stores/mem/keys/{token_of(b'c')}/counter", {"number": 5}).json()["counter"] == 5
    assert call("POST", f"/stores/mem/keys/{token_of(b'c')}/increment", {"by": -7}).json()["counter"] == -2
    wrong = call("PUT", f"/stores/mem/keys/{token_of(b'c')}/counter", {"number": 1 << 70})
    assert wrong.status_code == 422


def test_pages_follow_the_cursor(owner: Actor, memory: Store) -> None:
    for number in range(25):
        plant(memory, b"key%02d" % number)
    call, seen, cursor = caller(owner, "read"), [], ""
    for _ in range(10):
        page = call("GET", f"/stores/mem/keys?limit=10&cursor={cursor}").json()
        seen += [row["key_hex"] for row in page["keys"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [(b"key%02d" % number).hex() for number in range(25)]
    assert call("GET", "/stores/mem/keys?limit=0").json()["field"] == "limit"
    assert call("GET", "/stores/mem/keys?prefix=xyz").json()["field"] == "prefix"
    assert call("GET", "/stores/mem/keys?class=rate-auth").json()["keys"] == []


def test_a_parameter_that_a_route_does_not_have_is_refused(owner: Actor, memory: Store) -> None:
    """A filter that is mistyped would be no filter at all."""
    plant(memory, b"k")
    call = caller(owner, "read", "edit")
    for path in ("/stores/mem/keys?clas=rate-auth", "/stores/mem/export?clas=rate-auth", "/runs?stores=mem"):
        refused = call("GET", path)
        assert refused.status_code == 422, refused.content
        assert refused.json()["field"] in ("clas", "stores")
    assert call("GET", "/stores/mem/keys?class=custom&limit=5").json()["keys"][0]["key_hex"] == "6b"


def test_codes_and_their_values_stay_masked(owner: Actor, captured: Callable[..., Store]) -> None:
    captured("stalwart-0.11.8/sqlite/memstore-final.db")
    answer = caller(owner, "read")("GET", "/stores/memstore/keys?class=oauth")
    rows = answer.json()["keys"]
    assert rows
    for row in rows:
        assert row["masked"] is True
        assert row["key_hex"] is None
        assert row["value_hex"] is None
        assert row["key"].startswith("~")
    again = caller(owner, "read")("GET", f"/stores/memstore/keys/{rows[0]['key']}").json()
    assert again["label"] == rows[0]["label"]


def test_scopes_and_stores_of_a_token_are_kept(owner: Actor, memory: Store) -> None:
    new_memory("other")
    plant(memory, b"k", b"v")
    reader, mine = caller(owner, "read"), caller(owner, "read", "edit", stores=("other",))
    path = f"/stores/mem/keys/{token_of(b'k')}"
    for method, body in (("PUT", {"value": "x"}), ("PATCH", {"expires": None}), ("DELETE", None)):
        refused = reader(method, path, body)
        assert refused.status_code == 403
        assert refused.json()["code"] == "not-allowed"
    assert reader("POST", "/stores/mem/purge", {}).status_code == 403
    assert reader("PATCH", "/stores/mem", {"read_only": True}).status_code == 403
    assert reader("GET", "/audit").status_code == 403
    assert mine("GET", path).status_code == 403
    assert [row["id"] for row in mine("GET", "/stores").json()] == ["other"]
    assert mine("POST", "/lookups/evaluate", {"expression": "1"}).status_code == 403
    assert mine("POST", "/lookups", {"function": "key_get", "store": "", "key": "k"}).status_code == 403
    assert stored(memory, b"k") is not None


def test_a_token_ends_when_revoked_expired_or_its_owner_leaves(owner: Actor, memory: Store, django_user_model: Any) -> None:
    token, secret = tokens.issue(owner, "short", ["read"], expires_at=timezone.now() + timedelta(hours=1))
    assert tokens.find(secret) is not None
    assert secret not in json.dumps(list(ApiToken.objects.values("name", "digest", "hint")))
    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert tokens.find(secret) is None
    ApiToken.objects.filter(pk=token.pk).update(expires_at=None)
    assert tokens.find(secret) is not None
    django_user_model.objects.update(is_active=False)
    assert tokens.find(secret) is None
    django_user_model.objects.update(is_active=True)
    tokens.revoke(owner, token.pk)
    assert tokens.find(secret) is None


def test_a_token_has_so_many_requests_a_minute(owner: Actor, memory: Store, settings: Any) -> None:
    settings.KVADMIN_API_RATE = 3
    call = caller(owner, "read")
    codes = {call("GET", "/stores").status_code for _ in range(3)}
    assert codes == {200}
    refused = call("GET", "/stores")
    assert refused.status_code == 429
    assert refused.json()["code"] == "too-many-requests"


@pytest.mark.parametrize(
    ("name", "scopes", "stores", "field"),
    [("", ["read"], [], "name"), ("a", [], [], "scopes"), ("a", ["root"], [], "scopes"), ("a", ["read"], ["nosuch"], "stores")],
)
def test_a_token_that_makes_no_sense_is_refused(owner: Actor, name: str, scopes: list[str], stores: list[str], field: str) -> None:
    with pytest.raises(BadConfig) as caught:
        tokens.issue(owner, name, scopes, stores)
    assert caught.value.field == field
    assert not ApiToken.objects.exists()


def _routes() -> list[tuple[str, str]]:
    found = []
    for path, methods in schema()["paths"].items():
        found += [(method.upper(), path) for method in methods]
    return found


FILLED = {"{store_id}": "mem", "{key}": "aw", "{run_id}": "nosuch", "{act}": "cancel", "{trash_id}": "1", "{count_id}": "1",
          "{rule_id}": "1", "{token_id}": "1", "{publication_id}": "1", "{part}": "greylist",
          "{account_id}": "1", "{session_id}": "1", "{errand_id}": "00000000-0000-0000-0000-000000000007"}  # fmt: skip


QUERY: dict[str, str] = {
    "/stores/{store_id}/diff": "?before=1&after=1",
    "/stores/{store_id}/answer": "?key=a",
    "/find": "?q=192.0.2.1",
    "/verdict": "?q=192.0.2.1",
}
ACT = {"action": "reset", "targets": [{"store": "mem", "key": "aw"}]}
RULE = {"kind": "beat", "emails": ["ana@example.org"]}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/stores"): {"id": "new", "type": "static"},
    ("POST", "/store-types/test"): {"type": "static"},
    ("PUT", "/stores/{store_id}/schedule"): {"frequency": "0 3 *"},
    ("PUT", "/stores/{store_id}/census/interval"): {"minutes": 60},
    ("PUT", "/stores/{store_id}/keys/{key}"): {"value": "x"},
    ("PATCH", "/stores/{store_id}/keys/{key}"): {"expires": None},
    ("PUT", "/stores/{store_id}/keys/{key}/counter"): {"number": 1},
    ("POST", "/stores/{store_id}/delete-keys"): {"keys": [{"key": "aw", "etag": "0"}]},
    ("POST", "/stores/{store_id}/build-key"): {"class": "greylist", "parts": {}},
    ("POST", "/trash/restore"): {"ids": [1]},
    ("POST", "/stores/{store_id}/bulk/preview"): {"do": "delete", "filter": {}},
    ("POST", "/stores/{store_id}/sets/preview"): {"kind": "rates", "what": "rate-auth"},
    ("POST", "/stores/{store_id}/bulk"): {"token": "x", "count": 1},
    ("POST", "/stores/{store_id}/import/preview"): {"text": "{}"},
    ("POST", "/stores/{store_id}/import"): {"token": "x", "count": 1},
    ("POST", "/runs/{run_id}/pace"): {"pace": "fast"},
    ("POST", "/acts"): ACT,
    ("POST", "/acts/plan"): ACT,
    ("POST", "/acts/undo"): {"undo": "x"},
    ("POST", "/stores/{store_id}/publications"): {"form": "list"},
    ("POST", "/alerts"): RULE,
    ("PUT", "/alerts/{rule_id}"): RULE,
    ("POST", "/alerts/{rule_id}/mute"): {"hours": 1},
    ("PUT", "/mail-server"): {"url": "http://127.0.0.1:9", "version": "0.11", "token": "x"},
    ("POST", "/mail-server/lift"): {"address": "192.0.2.1"},
    ("POST", "/mail-server/lift/plan"): {"address": "192.0.2.1"},
    ("POST", "/tokens"): {"name": "x", "scopes": ["read"]},
    ("POST", "/accounts"): {"name": "ben", "role": "viewer"},
    ("PATCH", "/accounts/{account_id}"): {"role": "viewer"},
    ("PUT", "/switches"): {"read_only": True, "second_factor_from": None},
    ("POST", "/configuration/ask"): {"url": "http://127.0.0.1:9", "secret": "x"},
    ("POST", "/configuration/plan"): {"text": ""},
    ("POST", "/configuration/import"): {"text": ""},
    ("POST", "/lookups"): {"function": "key_get", "key": "k"},
    ("POST", "/lookups/evaluate"): {"expression": "1"},
    ("POST", "/lookups/setting"): {"source": "a = 1"},
    ("POST", "/lookups/sieve"): {"source": "keep;"},
}
"""A body that each route would take."""


def _filled(path: str) -> str:
    for name, value in FILLED.items():
        path = path.replace(name, value)
    return path


@pytest.mark.parametrize(("method", "path"), _routes(), ids=lambda part: str(part).replace("/", "."))
def test_every_route_asks_for_a_token(method: str, path: str, memory: Store) -> None:
    path = _filled(path)
    for headers in ({}, {"Authorization": "Bearer kva_wrong"}):
        answer = Client().generic(method, path, "{}", content_type="application/json", headers=headers)
        assert answer.status_code == 401, answer.content
        assert answer["Content-Type"] == "application/problem+json"
    assert TrashEntry.objects.count() == 0


def test_purges_counts_and_runs(owner: Actor, memory: Store, django_capture_on_commit_callbacks: Any) -> None:
    plant(memory, b"old", b"", soon(-60))
    plant_counter(memory, b"\x05\xc0\x00\x02\x01" + bytes(8), 3, soon(-60))
    call = caller(owner, "read", "purge")
    assert call("GET", "/stores/mem/census").status_code == 404
    with django_capture_on_commit_callbacks(execute=True):
        counted = call("POST", "/stores/mem/census")
    assert counted.status_code == 202
    assert call("GET", "/stores/mem/census").json()["total"]["expired"] == 2
    with django_capture_on_commit_callbacks(execute=True):
        started = call("POST", "/stores/mem/purge", {"pace": "fast"})
    assert started.status_code == 202
    run = call("GET", f"/runs/{started.json()['id']}").json()
    assert (run["state"], run["values"], run["counters"]) == ("done", 1, 1)
    assert [item["action"] for item in call("GET", "/runs").json()["runs"]] == ["purge", "census"]
    assert call("GET", "/runs/nonsense").status_code == 404


def test_definitions_and_schedules_are_for_admins(owner: Actor, memory: Store) -> None:
    call = caller(owner, "admin")
    made = call("POST", "/stores", {"id": "words", "type": "static", "entries": [["a", "1"]]})
    assert made.status_code == 201, made.content
    assert call("POST", "/stores", {"id": "words", "type": "static"}).json()["field"] == "id"
    assert call("PATCH", "/stores/words", {"read_only": True}).json()["read_only"] is True
    wrong = call("PUT", "/stores/mem/schedule", {"frequency": "0 25 *"})
    assert wrong.status_code == 422
    assert call("DELETE", "/stores/words").status_code == 204
    assert call("GET", "/stores/words").status_code == 404


def test_lookups_answer_as_stalwart_does(owner: Actor, memory: Store) -> None:
    call = caller(owner, "read", "edit")
    assert call("POST", "/lookups", {"function": "key_set", "key": "a", "value": "b"}).status_code == 403
    written = call("POST", "/lookups", {"function": "key_set", "key": "a", "value": "b", "allow_writes": True}).json()
    assert written == {"store": "mem", "type": "integer", "result": 1}
    assert call("POST", "/lookups", {"function": "key_get", "store": "mem", "key": "a"}).json()["result"] == "b"
    assert call("POST", "/lookups", {"function": "counter_incr", "key": "n", "number": 4, "allow_writes": True}).json()["result"] == 4
    unknown = call("POST", "/lookups", {"function": "key_get", "store": "nosuch", "key": "a"})
    assert unknown.status_code == 404
    assert "silently ask its default" in unknown.json()["fix"]
    assert call("POST", "/lookups", {"function": "key_exists", "key": ["", "no", "a"]}).json()["result"] == 1
    assert call("POST", "/lookups", {"function": "key_get", "key": ["a"]}).json()["field"] == "key"
    answer = call("POST", "/lookups/evaluate", {"expression": "key_get('mem', x) + 1", "variables": {"x": "a"}}).json()
    assert answer["result"] == "b1"
    assert answer["trace"][0]["hit"] is True


def test_the_token_page_shows_a_secret_once(client: Client, owner: Actor, memory: Store, django_user_model: Any) -> None:
    sign_in(client, django_user_model.objects.get())
    made = client.post(reverse("stores:tokens"), {"name": "monitor", "scopes": ["read"]})
    html = made.content.decode()
    assert "kva_" in html
    secret = "kva_" + html.partition("kva_")[2].partition("<")[0]
    assert tokens.find(secret) is not None
    assert secret not in client.get(reverse("stores:tokens")).content.decode()
    assert client.post(reverse("stores:tokens"), {"name": "", "scopes": []}).status_code == 422
    client.post(reverse("stores:token-revoke", args=[ApiToken.objects.get().pk]))
    assert tokens.find(secret) is None


def test_the_table_of_routes_is_the_schemas() -> None:
    expected = table(schema())
    assert expected in (ROOT / "docs" / "api.md").read_text(), f"the table has to read:\n{expected}"


SCOPES = {"read", "edit", "purge", "admin"}
EITHER = {"/runs/{run_id}/{act}": {"edit"}, "/runs/{run_id}/pace": {"edit"}}
"""What is for one of two scopes, according to what it is done to."""


@pytest.mark.parametrize("route", [*routes(schema())], ids=lambda r: f"{r.method}.{r.path}")
def test_every_route_asks_for_its_scope(route: Route, owner: Actor, memory: Store) -> None:
    """A token with every scope but this one, and none with admin, is refused before anything is looked at or done."""
    rest = SCOPES - {route.scope, "admin", *EITHER.get(route.path, ())}
    answer = caller(owner, *rest)(route.method, _filled(route.path) + QUERY.get(route.path, ""), BODIES.get((route.method, route.path), {}))
    assert answer.status_code == 403, (answer.status_code, answer.content)
    assert answer.json()["code"] in ("not-allowed", "forbidden")
    assert memory.pk in Store.objects.values_list("pk", flat=True)


def test_the_page_of_the_api_is_for_signed_in_browsers_and_loads_nothing_from_elsewhere(
    client: Client, owner: Actor, memory: Store, django_user_model: Any
) -> None:
    assert client.get("/api/v1/docs").status_code == 302
    client.force_login(django_user_model.objects.get())
    html = client.get("/api/v1/docs").content.decode()
    for route in routes(schema()):
        assert f">{route.path}</code>" in html
    assert re.findall(r'(?:src|href)="(?:https?:)?//[^"]*"', html) == []
    assert client.get("/api/v1/openapi.json").json()["openapi"].startswith("3.1")
    assert client.get("/api/v1/nosuch").json()["code"] == "no-such-route"
    refused = Client().delete("/api/v1/overview")
    assert (refused.status_code, refused["Allow"], refused["Content-Type"]) == (405, "GET", "application/problem+json")


def test_a_bulk_change_is_counted_confirmed_followed_and_undone(
    owner: Actor, memory: Store, django_capture_on_commit_callbacks: Any
) -> None:
    for number in range(5):
        plant(memory, b"old-%d" % number, b"x")
    plant(memory, b"other")
    call = caller(owner, "read", "edit")
    planned = call("POST", "/stores/mem/bulk/preview", {"do": "delete", "filter": {"match": "old-*"}}).json()
    assert (planned["keys"], planned["exact"], len(planned["samples"])) == (5, True, 5)
    assert call("POST", "/stores/mem/bulk", {"token": planned["token"], "count": 4}).json()["field"] == "count"
    with django_capture_on_commit_callbacks(execute=True):
        started = call("POST", "/stores/mem/bulk", {"token": planned["token"], "count": 5})
    assert started.status_code == 202, started.content
    run = started.json()["id"]
    assert call("GET", f"/runs/{run}").json()["state"] == "done"
    assert call("GET", f"/runs/{run}/receipt").json()["done"] == 5
    assert call("GET", f"/runs/{run}/log").json()["lines"] is not None
    assert [row["key_hex"] for row in call("GET", "/stores/mem/keys").json()["keys"]] == [b"other".hex()]
    with django_capture_on_commit_callbacks(execute=True):
        undone = call("POST", f"/runs/{run}/undo", {})
    assert undone.status_code == 202, undone.content
    assert len(call("GET", "/stores/mem/keys").json()["keys"]) == 6


def test_keys_go_out_and_in_as_a_file(owner: Actor, memory: Store, django_capture_on_commit_callbacks: Any) -> None:
    for number in range(3):
        plant(memory, b"k%d" % number, b"v%d" % number, soon())
    call = caller(owner, "read", "edit")
    exported = call("GET", "/stores/mem/export?match=k*")
    text = b"".join(exported.streaming_content).decode()
    assert len(text.splitlines()) == 3
    other = new_memory("other")
    planned = call("POST", "/stores/other/import/preview", {"text": text})
    assert planned.status_code == 200, planned.content
    assert (planned.json()["keys"], planned.json()["blocked"]) == (3, "")
    with django_capture_on_commit_callbacks(execute=True):
        started = call("POST", "/stores/other/import", {"token": planned.json()["token"], "count": 3})
    assert started.status_code == 202, started.content
    assert [stored(other, b"k%d" % number).value for number in range(3)] == [b"v0", b"v1", b"v2"]  # type: ignore[union-attr]
    broken = call("POST", "/stores/other/import/preview", {"text": '{"nonsense": 1}\n', "format": "jsonl"}).json()
    assert broken["wrong"] == 1
    assert broken["blocked"]


def test_what_holds_somebody_back_is_found_reset_and_put_back(owner: Actor, memory: Store) -> None:
    window = int(time.time()) // 86_400
    key = b"\x05\xc0\x00\x02\x01" + window.to_bytes(8, "big")
    plant_counter(memory, key, 100, (window + 1) * 86_400)
    call = caller(owner, "read", "edit")
    found = call("GET", "/find?q=192.0.2.1").json()
    assert [trace["key_hex"] for trace in found["traces"]] == [key.hex()]
    assert call("GET", "/limited?slug=rate-auth").json()["windows"][0]["count"] == 100
    verdict = call("GET", "/verdict?q=192.0.2.1").json()
    assert verdict["level"] == "bad"
    proposal = next(each for each in verdict["proposals"] if each["action"] == "reset")
    body = {"action": "reset", "targets": proposal["targets"]}
    assert call("POST", "/acts/plan", body).json()["keys"][0]["refused"] == ""
    done = call("POST", "/acts", body).json()
    assert (done["done"], done["results"][0]["state"]) == (1, "done")
    assert stored(memory, key) is None
    assert [step["done"] for step in call("POST", "/acts/undo", {"undo": done["undo"]}).json()] == [True]
    assert stored(memory, key).counter == 100  # type: ignore[union-attr]


def test_alerts_publications_counts_and_imports(owner: Actor, memory: Store, django_capture_on_commit_callbacks: Any) -> None:
    call = caller(owner, "admin")
    rule = call("POST", "/alerts", {"kind": "down", "store": "mem", "emails": ["ana@example.org"], "webhook": "https://example.org/s3cret"})
    assert rule.status_code == 201, rule.content
    assert "s3cret" not in rule.content.decode()
    assert rule.json()["webhook"] is True
    path = f"/alerts/{rule.json()['id']}"
    assert call("POST", f"{path}/mute", {"hours": 2}).json()["muted_until"]
    changed = call("PUT", path, {"kind": "down", "store": "mem", "emails": []})
    assert changed.json()["webhook"] is True
    assert call("DELETE", path).status_code == 204
    assert call("GET", path).status_code == 404

    plan = call("POST", "/configuration/plan", {"text": '[lookup.vip]\n"ana" = "7"\n'}).json()
    assert [(store["id"], store["state"]) for store in plan["stores"]] == [("vip", "new")]
    assert call("POST", "/configuration/import", {"text": '[lookup.vip]\n"ana" = "7"\n'}).json()["created"] == ["vip"]
    assert call("GET", "/stores/vip/answer?key=ana").json()["value"] == 7
    published = call("POST", "/stores/vip/publications", {"form": "csv"})
    address = published.json()["url"]
    assert Client().get(address).content == b'"ana","7"\n'
    assert call("DELETE", f"/stores/vip/publications/{published.json()['id']}").status_code == 204
    assert Client().get(address).status_code == 404
    assert "ana" in call("GET", "/stores/vip/toml").json()["text"]

    plant(memory, b"k")
    with django_capture_on_commit_callbacks(execute=True):
        call("POST", "/stores/mem/census")
    counted = call("GET", "/stores/mem/counts").json()["counts"][0]
    assert counted["keys"] == 1
    diff = call("GET", f"/stores/mem/diff?before={counted['id']}&after={counted['id']}").json()
    assert [(each["slug"], each["before"], each["change"]) for each in diff["classes"]] == [("custom", 1, 0)]
    assert len(call("GET", "/stores/mem/growth").json()) == 1
    assert call("GET", "/token").json()["permissions"]
    assert call("DELETE", "/token").status_code == 204
    assert call("GET", "/token").status_code == 401
