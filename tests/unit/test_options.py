"""Durations, switches and numbers as Stalwart's options spell them; the size of background steps."""

from __future__ import annotations

import pytest

from stores.backends.pacing import Feedback
from stores.codecs.options import seconds, switch, whole_number
from stores.errors import BadConfig


@pytest.mark.parametrize(
    ("text", "value"),
    [("", 2.0), ("10s", 10.0), ("1500", 1.5), ("250ms", 0.25), ("2 m", 120.0), ("1h", 3600.0), ("1d", 86400.0), ("0", 2.0), ("0s", 2.0)],
)
def test_durations(text: str, value: float) -> None:
    assert seconds("timeout", text, 2.0) == pytest.approx(value)


@pytest.mark.parametrize("text", ["x", "-1s", "1.5s", "10 sec", "10S s", "9" * 20])
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(BadConfig) as refused:
        seconds("timeout", text, 2.0)
    assert refused.value.field == "timeout"
    assert refused.value.fix


def test_switches() -> None:
    assert switch("tls.enable", "true")
    assert switch("tls.enable", "1")
    assert not switch("tls.enable", "false")
    assert not switch("tls.enable", "")
    assert switch("tls.enable", "", default=True)
    with pytest.raises(BadConfig) as refused:
        switch("tls.enable", "perhaps")
    assert refused.value.field == "tls.enable"


def test_numbers_have_bounds() -> None:
    assert whole_number("port", " 3306 ", 1, 1, 65535) == 3306
    assert whole_number("port", "", 5432, 1, 65535) == 5432
    for text in ("0", "65536", "-1", "1e3", "²", "0x10"):
        with pytest.raises(BadConfig):
            whole_number("port", text, 1, 1, 65535)


def test_a_step_grows_towards_its_budget_and_shrinks_at_once() -> None:
    feedback = Feedback(budget=0.1, size=1000, lowest=100, highest=50_000)
    sizes = []
    for _ in range(20):
        feedback.took(feedback.size * 0.1 / 20_000)
        sizes.append(feedback.size)
    assert sizes == sorted(sizes), "never beyond what fits"
    assert all(later <= earlier * 1.5 + 1 for earlier, later in zip([1000, *sizes], sizes, strict=False)), "no leap"
    assert 15_000 < sizes[-1] <= 20_000
    feedback.took(1.0)
    assert feedback.size == sizes[-1] // 2, "one slow step halves it"
    feedback.took(feedback.size * 0.1 / 20_000)
    assert feedback.size > sizes[-1] // 2
    for _ in range(40):
        feedback.took(10.0)
    assert feedback.size == 100
    for _ in range(40):
        feedback.took(0.0)
    assert feedback.size == 50_000
