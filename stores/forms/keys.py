"""Filters of the key list, and picking several keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from stores import keyclasses
from stores.errors import BadConfig
from stores.forms.base import StyledForm
from stores.services.durations import in_words
from stores.services.filters import CUSTOM, KeyFilter
from stores.services.keytokens import key_of
from stores.texts import shown
from stores.types import Kind

KINDS = (("", _("Any kind")), (Kind.VALUE.value, _("Values")), (Kind.COUNTER.value, _("Counters")), (Kind.LOCK.value, _("Locks")))
EXPIRIES = (("", _("Any expiry")), ("live", _("Not expired")), ("expired", _("Expired")), ("never", _("Never expires")))
OWN_KEYS = _("Your own keys")


class KeyFilterForm(StyledForm):
    """The filter bar. Its fields are the parameters of the address, its result a KeyFilter."""

    q = forms.CharField(
        label=_("Text"),
        required=False,
        max_length=500,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": _("IP, network, login, address, domain"), "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    kind = forms.ChoiceField(label=_("Kind"), required=False, choices=KINDS)
    expiry = forms.ChoiceField(label=_("Expiry"), required=False, choices=EXPIRIES)
    prefix = forms.CharField(  # type: ignore[assignment]
        label=_("Key begins with, in hex"),
        required=False,
        max_length=4096,
        widget=forms.TextInput(attrs={"placeholder": "05 cb0071", "class": "kv-mono", "spellcheck": "false"}),
    )
    match = forms.CharField(
        label=_("Key matches the glob"),
        required=False,
        max_length=1024,
        strip=False,
        widget=forms.TextInput(attrs={"placeholder": "user@*"}),
    )
    before = forms.CharField(label=_("Expires within"), required=False, max_length=60, widget=forms.TextInput(attrs={"placeholder": "1 h"}))
    after = forms.CharField(
        label=_("Expires not before"), required=False, max_length=60, widget=forms.TextInput(attrs={"placeholder": "7 days"})
    )
    count = forms.CharField(
        label=_("Count at least"),
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "placeholder": "10"}),
    )
    size = forms.CharField(
        label=_("Bytes at least"),
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "placeholder": "1000"}),
    )
    left = forms.ChoiceField(
        label=_("Left over"), required=False, choices=[("", _("Left over or not")), ("1", _("Only what is left over"))]
    )
    slug = forms.CharField(label=_("Class"), required=False, max_length=60, widget=forms.HiddenInput)
    cursor = forms.CharField(required=False, max_length=16_384, widget=forms.HiddenInput)
    seen = forms.IntegerField(label=_("Place"), required=False, min_value=0, max_value=10**12, widget=forms.HiddenInput)

    FOLDED = ("prefix", "match", "before", "after", "count", "size", "left")

    def __init__(self, query: QueryDict) -> None:
        data = query.dict()
        data["slug"] = data.get("class", "")
        super().__init__(data, auto_id="filter-%s")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        texts = {name: str(cleaned.get(name) or "") for name in ("q", "kind", "expiry", *self.FOLDED)}
        try:
            self.key_filter = KeyFilter.from_query({**texts, "class": cleaned.get("slug", "")})
        except BadConfig as error:
            self.add_error("slug" if error.field == "class" else error.field, error.said)
        return cleaned

    def folded(self) -> list[forms.BoundField]:
        """The fields behind "More filters"."""
        return [self[name] for name in self.FOLDED]

    def unfolded_errors(self) -> list[tuple[str, str]]:
        """What is wrong with the fields that stand without a label of their own: label and error."""
        return [
            (str(self[name].label), str(problem))
            for name, problems in self.errors.items()
            if name not in self.FOLDED
            for problem in problems
        ]

    def opened(self) -> bool:
        """Whether one of the folded fields is in use."""
        return any(self.data.get(name) for name in self.FOLDED)


def chips(key_filter: KeyFilter, titles: Mapping[str, str]) -> list[dict[str, str]]:
    """One chip a filter: what it says, and the query string without it."""
    kinds, expiries = dict(KINDS), dict(EXPIRIES)
    said: list[tuple[object, str, KeyFilter]] = [
        (_("Class"), titles.get(key_filter.class_slug, key_filter.class_slug), replace(key_filter, class_slug="")),
        (_("Text"), key_filter.text, replace(key_filter, text="")),
        (_("Kind"), kinds[key_filter.kind.value].lower() if key_filter.kind else "", replace(key_filter, kind=None)),
        (_("Expiry"), expiries[key_filter.expiry].lower() if key_filter.expiry else "", replace(key_filter, expiry="")),
        (_("Begins with"), key_filter.prefix.hex(), replace(key_filter, prefix=b"")),
        (_("Glob"), key_filter.match, replace(key_filter, match="")),
        (_("Left over"), str(_("yes")) if key_filter.left_over else "", replace(key_filter, left_over=False)),
    ]
    for label, seconds, rest in (
        (_("Expires within"), key_filter.expires_before, replace(key_filter, expires_before=None)),
        (_("Expires not before"), key_filter.expires_after, replace(key_filter, expires_after=None)),
    ):
        said.append((label, "" if seconds is None else in_words(seconds), rest))
    for label, number, rest in (
        (_("Count at least"), key_filter.count_min, replace(key_filter, count_min=None)),
        (_("Bytes at least"), key_filter.size_min, replace(key_filter, size_min=None)),
    ):
        said.append((label, "" if number is None else number_format(number, use_l10n=True, force_grouping=True), rest))
    return [{"label": str(label), "value": value, "without": rest.query_string} for label, value, rest in said if value]


def class_titles() -> dict[str, str]:
    """Title of each class by slug; user keys under `custom`."""
    return {slug: shown(found.title) for slug, found in keyclasses.CLASSES.items()} | {CUSTOM: str(OWN_KEYS)}


class PickForm(forms.Form):
    """Several keys of a list, each with the digest of the row that was on screen."""

    LIMIT = 500

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.raw = data.getlist("pick")

    def clean(self) -> dict[str, Any]:
        if not self.raw:
            raise forms.ValidationError(_("No key is selected."))
        if len(self.raw) > self.LIMIT:
            raise forms.ValidationError(_("More than %(limit)s keys at once are not possible from the list.") % {"limit": self.LIMIT})
        try:
            self.picks = [(key_of(token), etag) for token, _, etag in (text.rpartition(":") for text in self.raw)]
        except BadConfig as error:
            raise forms.ValidationError(error.said) from None
        return self.cleaned_data
