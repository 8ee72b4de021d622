"""Curves, comparisons and the schedule of counts, as a reader sees them."""

from __future__ import annotations

import json
import re
import time
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from stores.models import Census, Run, Store
from stores.services import census
from stores.services.actor import Actor
from stores.services.rights import EVERYTHING
from stores.templatetags.kv_charts import ceiling, columns, rows, signed, signed_size
from tests.services.conftest import plant, plant_counter
from tests.views.pages import assert_sound, text_of

ACTOR = Actor("ana", "page", rights=EVERYTHING)


def at(store: Store, name: str = "growth", query: str = "") -> str:
    return reverse(f"stores:{name}", args=[store.pk]) + query


@pytest.fixture
def grown(memory: Store) -> Store:
    """Counted each hour of two days, a key more each hour; the last hour brought 200."""
    for number in range(3):
        plant_counter(memory, bytes.fromhex("05cb007114") + number.to_bytes(8, "big"), 3, 2_000_000_000)
    now = timezone.now()
    for hours in range(48, 0, -1):
        keys = 100 - hours
        row = {"class": None, "byte": None, "keys": keys, "counters": 0, "locks": 0, "key_bytes": keys, "value_bytes": 0, "never": keys,
               "expired": 0}  # fmt: skip
        total = {name: value for name, value in row.items() if name not in ("class", "byte")}
        Census.objects.create(store=memory, at=now - timedelta(hours=hours), seconds=0.1, total=total, classes=[row])
    for number in range(300):
        plant(memory, b"key%d" % number)
    census.count(memory, ACTOR)
    return memory


def test_the_store_page_shows_growth_steps_and_the_week(client: Client, grown: Store) -> None:
    response = client.get(at(grown, "store"))
    words = text_of(response)
    assert "Growth is the mean of 2 days, at the same time of day." in words
    assert "+124 with a sudden step" in words
    assert "Your own keys, 7 days: 52 to 300" in response.content.decode()
    assert "Who owns the most keys" in words and "203.0.113.20 3 keys" in words
    assert "Largest rows" in words and "next in " in words
    assert_sound(response)


def test_the_overview_tells_of_the_step_but_not_of_quiet_counts(client: Client, grown: Store) -> None:
    words = text_of(client.get(reverse("stores:overview")))
    assert "mem Your own keys grew by 201 keys at once" in words
    assert re.search(r"Keys of mem, 7 days: 5[0-9] to 303", client.get(reverse("stores:overview")).content.decode())
    assert re.search(r"\+[0-9]{3}\.[0-9] % in a day", words)


def test_before_the_first_count_there_is_no_curve(client: Client, memory: Store) -> None:
    words = text_of(client.get(at(memory, "store")))
    assert "Not counted yet" in words and "Larger, by class" not in words
    response = client.get(at(memory))
    assert "Not counted in this time." in text_of(response)
    assert_sound(response)
    assert "Not counted yet" in text_of(client.get(at(memory, "compare")))
    assert not Run.objects.exists()


def test_a_curve_of_each_range_and_class_with_its_table(client: Client, grown: Store) -> None:
    for name in ("1h", "1d", "7d", "30d", "1y"):
        assert_sound(client.get(at(grown, query=f"?range={name}")))
    response = client.get(at(grown, query="?range=1d&class=custom"))
    words = text_of(response)
    assert re.search(r"Your own keys grew by 2\d\d keys", words)
    assert "300 300 0" in words
    html = response.content.decode()
    assert '<polyline class="live-l" points="34.0,' in html and "300 keys, 0 expired" in html
    assert client.get(at(grown, query="?class=nothing")).status_code == 422
    assert 'aria-current="true">7 d' in client.get(at(grown, query="?range=9z")).content.decode()


def test_the_card_changes_its_range_alone(hx: Client, grown: Store) -> None:
    response = hx.get(at(grown, "store", "?range=1d"), headers={"HX-Target": "growth"})
    html = response.content.decode()
    assert html.lstrip().startswith('<section class="kv-card" id="growth"') and "Classes" not in html


def test_two_counts_are_compared_by_class(client: Client, grown: Store) -> None:
    response = client.get(at(grown, "compare"))
    words = text_of(response)
    assert "227 keys more" in words and " apart" in words
    assert "Your own keys 76 300 +224" in words and "Failed logins 0 3 +3" in words
    assert_sound(response)
    oldest, newest = Census.objects.earliest("at"), Census.objects.latest("at")
    swapped = text_of(client.get(at(grown, "compare", f"?from={newest.pk}&to={oldest.pk}")))
    assert "251 keys more" in swapped
    assert client.get(at(grown, "compare", "?from=99999999&to=x")).status_code == 404


def test_the_interval_is_set_on_the_page(client: Client, memory: Store) -> None:
    assert client.post(at(memory, "count-every"), {"minutes": "1440"}).status_code == 303
    memory.refresh_from_db()
    assert memory.census_minutes == 1440
    for wrong in ("7", "", "-1", "²"):
        assert client.post(at(memory, "count-every"), {"minutes": wrong}).status_code == 422
    client.post(at(memory, "count-every"), {"minutes": "0"})
    assert "only on request" in text_of(client.get(at(memory, "store")))
    assert client.get(at(memory, "count-every")).status_code == 405


def test_scales_are_round() -> None:
    assert [ceiling(number) for number in (0, 4, 5, 11, 99, 100, 101, 612_403)] == [4, 4, 6, 20, 100, 100, 200, 800_000]
    assert (rows(600), rows(8), rows(1000), rows(2000)) == ([200, 400, 600], [2, 4, 6, 8], [500, 1000], [500, 1000, 1500, 2000])
    day = 1_795_478_400.0
    assert [text for _, text in columns(day + 60, day + 3 * 3600, 4)] == ["01:00", "02:00", "03:00"]
    assert [text for _, text in columns(day, day + 7 * 86400 - 1, 8)] == ["Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon"]
    assert [signed(number) for number in (4.4, -41, 0)] == ["+4", "−41", "0"]
    assert [signed_size(number) for number in (2048, -144, 0)] == ["+2.0 KB", "−144 B", "0"]


def test_the_growth_page_brings_the_figures_for_a_script_and_stays_whole_without(client: Client, grown: Store) -> None:
    html = client.get(at(grown)).content.decode()
    found = re.search(r'data-kv-plot="([^"]*)"', html)
    assert found is not None
    moments, keys, live = json.loads(unescape(found[1]))
    assert len(moments) == len(keys) == len(live) > 20
    assert (keys[-1], live[-1]) == (303, 303)
    assert moments == sorted(moments)
    assert '<svg class="kv-chart is-long"' in html
    assert "vendor/uplot" in html and "js/growth" in html
    assert "vendor/uplot" not in client.get(at(grown, "store")).content.decode()


def test_every_part_of_the_time_left_opens_its_keys(client: Client, memory: Store) -> None:
    now = int(time.time())
    for seconds in (-50, 30, 200, 3000, 20_000, 80_000, 500_000, 2_000_000, 30_000_000, 90_000_000):
        plant(memory, b"in%d" % seconds, b"v", now + seconds)
    plant(memory, b"never")
    census.count(memory, ACTOR)
    html = client.get(at(memory, "store")).content.decode()
    bars = [unescape(address) for address in re.findall(r'<a href="(/[^"]*/keys/\?(?:expiry|after|before)[^"]*)" aria-label', html)]
    assert len(bars) == 11
    for address in bars:
        assert len(set(re.findall(r"(?:in-?\d+|never)(?=</)", client.get(address).content.decode()))) == 1, address
