"""The spam filter's memory in a store, and what an upgrade left behind."""

from __future__ import annotations

from typing import Any, Literal

from ninja import Router, Schema

from stores.api.base import ApiRequest, Cursor, KeyOut, allowed_store, does, shown
from stores.services import leftovers, spam

router = Router(tags=["spam"])


class RankedOut(Schema):
    """The highest rows of what this call walked through; `next` goes on. `met`: rows of the part, `scanned`: keys looked at."""

    rows: list[KeyOut]
    met: int
    scanned: int
    next: str


class BayesTokenOut(Schema):
    """`lean` above 0 tells of spam, below of ham."""

    key: KeyOut
    ham: int
    spam: int
    lean: float


class ModelOut(Schema):
    """`account` null: the common model. Messages trained, and tokens met."""

    account: int | None
    ham: int
    spam: int
    tokens: int


class BayesOut(Schema):
    common: ModelOut
    accounts: list[ModelOut]
    spam: list[BayesTokenOut]
    ham: list[BayesTokenOut]
    scanned: int
    next: str


class GroupOut(Schema):
    """Leftovers of one class for one reason. `whole`: all keys of the class are, so they can be removed as a set."""

    slug: str
    title: str
    why: str
    whole: bool
    keys: int
    bytes: int
    samples: list[KeyOut]


class LeftoversOut(Schema):
    groups: list[GroupOut]
    scanned: int
    next: str


@router.get("/stores/{store_id}/spam/bayes", **does("read", BayesOut, "The Bayes models and their most telling tokens"))
def get_bayes(request: ApiRequest, store_id: str, cursor: Cursor = "") -> dict[str, Any]:
    found = spam.bayes(allowed_store(request, store_id, "read"), cursor)
    return {
        "common": _model(found.common),
        "accounts": [_model(model) for model in found.accounts],
        "spam": [_token(token) for token in found.spam],
        "ham": [_token(token) for token in found.ham],
        "scanned": found.scanned,
        "next": found.next,
    }


@router.get("/stores/{store_id}/spam/{part}", **does("read", RankedOut, "Reputation, greylist or trusted replies, ranked"))
def get_ranked(
    request: ApiRequest,
    store_id: str,
    part: Literal["reputation", "greylist", "replies"],
    sort: Literal["", "spam", "good", "messages", "soonest", "latest"] = "",
    cursor: Cursor = "",
) -> dict[str, Any]:
    """spam, good and messages order reputation only. `POST /acts` with neutral, allow or forget acts on rows."""
    found = spam.ranked(allowed_store(request, store_id, "read"), part, sort, cursor)
    return {"rows": [shown(row) for row in found.rows], "met": found.met, "scanned": found.scanned, "next": found.next}


@router.get("/stores/{store_id}/leftovers", **does("read", LeftoversOut, "Keys that the store's version no longer writes"))
def get_leftovers(request: ApiRequest, store_id: str, cursor: Cursor = "") -> dict[str, Any]:
    """Walked for some seconds; `next` goes on."""
    found = leftovers.look(allowed_store(request, store_id, "read"), cursor)
    groups = [
        {"slug": each.slug, "title": each.title, "why": each.why, "whole": each.whole, "keys": each.keys, "bytes": each.bytes,
         "samples": [shown(row) for row in each.rows[: leftovers.SAMPLES]]}
        for each in found.groups
    ]  # fmt: skip
    return {"groups": groups, "scanned": found.scanned, "next": found.next}


def _model(model: spam.Model) -> dict[str, Any]:
    return {"account": model.account, "ham": model.ham, "spam": model.spam, "tokens": model.tokens}


def _token(token: spam.Token) -> dict[str, Any]:
    return {"key": shown(token.row), "ham": token.ham, "spam": token.spam, "lean": token.lean}
