"""The version of a store is asked for once, and only where nobody has set it."""

from __future__ import annotations

import pytest
from django.core.cache import caches

from stores.backends.memory import MemoryBackend
from stores.errors import StoreUnavailable
from stores.models import Store
from stores.services import access, definitions
from stores.services.actor import Actor
from stores.services.browse import KeyFilter, list_keys, read_key
from stores.types import Check, CheckState
from tests.services.conftest import new_memory


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions under which stores were asked; they answer 0.15."""
    caches["process"].clear()
    found: list[str] = []

    def answer(self: MemoryBackend) -> str:
        found.append(self.version)
        return "0.15"

    monkeypatch.setattr(MemoryBackend, "detect_version", answer)
    return found


def test_the_first_use_asks_and_the_answer_is_kept(memory: Store, asked: list[str]) -> None:
    list_keys(memory, KeyFilter())
    read_key(memory, b"k")
    assert asked == ["0.11"]
    assert memory.effective_version == Store.objects.get().effective_version == "0.15"
    list_keys(Store.objects.get(), KeyFilter())
    assert len(asked) == 1


def test_a_version_that_was_set_is_not_questioned(db: None, asked: list[str]) -> None:
    store = new_memory("a", version="0.12")
    list_keys(store, KeyFilter())
    assert asked == []
    assert store.effective_version == "0.12"


def test_a_store_that_does_not_tell_is_asked_rarely(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    caches["process"].clear()
    calls: list[str] = []

    def silent(self: MemoryBackend) -> str:
        calls.append(self.version)
        return ""

    monkeypatch.setattr(MemoryBackend, "detect_version", silent)
    for _ in range(3):
        list_keys(memory, KeyFilter())
    assert len(calls) == 1
    assert memory.effective_version == "0.11"


def test_new_settings_may_mean_another_server(memory: Store, actor: Actor, asked: list[str]) -> None:
    list_keys(memory, KeyFilter())
    definitions.update_store(actor, memory, settings={"name": "elsewhere"})
    assert Store.objects.get().detected_version == ""
    list_keys(memory, KeyFilter())
    assert len(asked) == 2


def test_an_outage_is_an_error_and_not_a_version(memory: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    caches["process"].clear()

    def down(self: MemoryBackend) -> str:
        raise StoreUnavailable("Down.")

    monkeypatch.setattr(MemoryBackend, "detect_version", down)
    with pytest.raises(StoreUnavailable):
        access.detect_version(memory)
    with pytest.raises(StoreUnavailable):
        list_keys(memory, KeyFilter())
    assert [check.state for check in definitions.test_store(memory)] == [CheckState.OK]
    assert Store.objects.get().detected_version == ""


def test_connection_tests_try_the_version_that_the_store_tells(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = MemoryBackend.check

    def watched(self: MemoryBackend) -> list[Check]:
        seen.append(self.version)
        return real(self)

    monkeypatch.setattr(MemoryBackend, "check", watched)
    definitions.test_connection("memory", {})
    definitions.test_connection("memory", {}, "0.13")
    assert seen == ["0.15", "0.13"]
