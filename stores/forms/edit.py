"""Editing one key: value, number, expiry, a new key, deleting."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django import forms
from django.utils import dateformat, timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from stores import keyclasses
from stores.errors import BadConfig
from stores.forms.base import StyledForm, style
from stores.keyclasses.base import EditorField
from stores.services.durations import parse_expiry
from stores.services.filters import parse_hex
from stores.types import KEEP, Kind

INT64: Final = (-(1 << 63), (1 << 63) - 1)
SHOWN_LIMIT: Final = 64 * 1024
"""Values above this many bytes are not put into an editor; they are downloaded and uploaded as files."""
ABSENT_ETAG: Final = "absent"

MONO: Final = {"class": "form-control kv-mono", "spellcheck": "false", "autocomplete": "off", "autocapitalize": "off"}
EDITORS: Final = (("decoded", _("Decoded")), ("text", _("Text")), ("json", "JSON"), ("hex", _("Hex")), ("file", _("File")))


def is_text(value: bytes) -> bool:
    """Whether a text field gives these bytes back unchanged: UTF-8 without control characters, line breaks as LF."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return False
    return all(char in "\n\t" or ord(char) >= 0x20 for char in text) and "\x7f" not in text


def is_json(value: bytes) -> bool:
    """Whether the bytes are a JSON object or list; plain numbers and words are edited as text."""
    if value[:1] not in (b"{", b"["):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return is_text(value)


def typed_text(text: str) -> bytes:
    """What was typed into a text field, as bytes."""
    return _lf(text).encode()


def _lf(text: str) -> str:
    """Browsers send line breaks as CR LF; the store gets LF."""
    return text.replace("\r\n", "\n")


def typed_json(text: str) -> bytes:
    """JSON exactly as typed, refused when it is none. Raises ValidationError that says where it breaks."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise forms.ValidationError(
            _("This is not JSON: %(msg)s in line %(lineno)s, column %(colno)s.")
            % {"msg": error.msg, "lineno": error.lineno, "colno": error.colno}
        ) from None
    except RecursionError:
        raise forms.ValidationError(_("This JSON is nested too deeply to be checked.")) from None
    return typed_text(text)


def typed_hex(text: str) -> bytes:
    """Bytes of hex digits; blanks, line breaks and a leading 0x are allowed."""
    try:
        return parse_hex(text, "value")
    except BadConfig as error:
        raise forms.ValidationError(_("Write two hex digits for each byte, such as 05 cb 00.") if len(text) > 80 else error.said) from None


TYPED: Final = {"text": typed_text, "json": typed_json, "hex": typed_hex}


class SeenForm(StyledForm):
    """A change of one key as it was on screen: `etag` is the digest of that row, `opened` its value in words."""

    etag = forms.CharField(max_length=64, widget=forms.HiddenInput)
    opened = forms.CharField(required=False, max_length=300, widget=forms.HiddenInput)

    def wanted(self) -> str:
        """What the change wants, in a few words, for the page of a conflict."""
        raise AssertionError(f"{type(self).__name__} does not say what it wants")


class ValueForm(SeenForm):
    """A new value as text, JSON, hex or file."""

    edit_as = forms.ChoiceField(choices=EDITORS[1:], widget=forms.HiddenInput)
    value = forms.CharField(
        label=_("Value"), required=False, strip=False, max_length=1 << 22, widget=forms.Textarea(attrs={**MONO, "rows": 4})
    )
    file = forms.FileField(label=_("File"), required=False, allow_empty_file=True)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        editor = cleaned.get("edit_as")
        if editor == "file":
            if cleaned.get("file") is None and "file" not in self.errors:
                self.add_error("file", _("Choose the file that holds the new value."))
            elif cleaned.get("file") is not None:
                self.written: bytes = cleaned["file"].read()
        elif editor and "value" in cleaned:
            try:
                self.written = TYPED[editor](cleaned["value"])
            except forms.ValidationError as error:
                self.add_error("value", error)
        return cleaned

    def wanted(self) -> str:
        return _short(self.written)


class DecodedForm(SeenForm):
    """The value as its key class understands it, one input a part."""

    def __init__(self, data: Any = None, *, editable: str, version: str, initial: Mapping[str, Any] | None = None) -> None:
        self.editable, self.version = editable, version
        super().__init__(data, initial=dict(initial or {}), auto_id="value-%s")
        for field in keyclasses.editor_fields(editable):
            self.fields[f"part_{field.name}"] = part = _part(field)
            style(part.widget)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            parts = {name.removeprefix("part_"): _lf(str(value)) for name, value in cleaned.items() if name.startswith("part_")}
            try:
                self.encoded = keyclasses.encode(self.editable, parts, self.version)
            except BadConfig as error:
                self.add_error(f"part_{error.field}" if f"part_{error.field}" in self.fields else None, error.said)
        return cleaned

    def parts(self) -> list[forms.BoundField]:
        """The inputs, without the hidden ones."""
        return [field for field in self if field.name.startswith("part_")]

    def wanted(self) -> str:
        return ", ".join(f"{field.label.lower()} {field.data}" for field in self.parts())


def _part(field: EditorField) -> forms.Field:
    attrs: dict[str, Any] = {"autocomplete": "off"}
    common: dict[str, Any] = {"label": field.label, "help_text": field.help, "required": field.type != "lines"}
    if field.type == "choice":
        return forms.ChoiceField(choices=[(str(name), name) for name in field.choices], **common)
    if field.type == "lines":
        return forms.CharField(widget=forms.Textarea(attrs={**attrs, "rows": 4}), strip=False, **common)
    if field.type in ("integer", "number"):
        attrs |= {"inputmode": "numeric" if field.type == "integer" else "decimal", "class": "form-control kv-w-md"}
    return forms.CharField(widget=forms.TextInput(attrs=attrs), max_length=4096, **common)


class CounterForm(SeenForm):
    """A new number, or one to add to whatever is there."""

    number = forms.IntegerField(
        label=_("New number"), min_value=INT64[0], max_value=INT64[1], widget=forms.NumberInput(attrs={"class": "form-control kv-w-md"})
    )
    act = forms.ChoiceField(choices=[("set", "set"), ("add", "add"), ("zero", "zero")], required=False)

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        if data is not None and data.get("act") == "zero":
            data = data.copy()
            data["number"] = "0"
        super().__init__(data, **kwargs)

    @property
    def adds(self) -> bool:
        return bool(self.cleaned_data["act"] == "add")

    def wanted(self) -> str:
        number = int(self.cleaned_data["number"])
        return str(_("%(number)s to it") % {"number": f"{number:+,}"}) if self.adds else f"{number:,}"


EXPIRY_CHOICES: Final = (("in", _("From now")), ("at", _("At a time")), ("never", _("Never")))


class ExpiryFields(StyledForm):
    """How long a key lives: from now, until a time, or for ever."""

    how = forms.ChoiceField(label=_("How to set the expiry"), choices=EXPIRY_CHOICES, widget=forms.RadioSelect)
    span = forms.CharField(
        label=_("Time from now"),
        required=False,
        max_length=60,
        widget=forms.TextInput(attrs={"placeholder": "2 h 30 min", "autocomplete": "off"}),
    )
    date = forms.DateField(label=_("Date"), required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    time = forms.TimeField(
        label=_("Time"), required=False, widget=forms.TimeInput(attrs={"type": "time", "step": "1"}, format="%H:%M:%S"),
        input_formats=["%H:%M:%S", "%H:%M"],
    )  # fmt: skip

    def expires(self) -> int | None:
        """Unix seconds, None for never. Raises ValidationError at the field that is wrong."""
        how = self.cleaned_data.get("how")
        if how == "never":
            return None
        field = "span" if how == "in" else "date"
        text = self.cleaned_data.get("span") or ""
        if how == "at":
            date, clock = self.cleaned_data.get("date"), self.cleaned_data.get("time")
            if date is None:
                raise forms.ValidationError({"date": _("Give the date.")})
            text = f"{date.isoformat()}T{clock.isoformat() if clock else '00:00:00'}"
        elif not text:
            raise forms.ValidationError({"span": _("Say how long, such as 90, 2 h 30 min or 7 days.")})
        try:
            moment = parse_expiry(text, time.time(), timezone.get_current_timezone())
        except BadConfig as error:
            raise forms.ValidationError({field: error.said}) from None
        if moment is None or moment is KEEP:
            raise forms.ValidationError({field: _("Say how long, such as 90, 2 h 30 min or 7 days.")})
        return int(moment)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            self.moment = self.expires()
        return cleaned


class ExpiryForm(ExpiryFields, SeenForm):
    """A new expiry for a key that exists."""

    def wanted(self) -> str:
        if self.moment is None:
            return str(_("never expires"))
        moment = datetime.fromtimestamp(self.moment, timezone.get_current_timezone())
        return str(_("expires %(moment)s") % {"moment": dateformat.format(moment, pgettext("date form", "j M Y, H:i:s"))})


class NewKeyForm(ExpiryFields):
    """A key that does not exist yet."""

    key = forms.CharField(label=_("Key"), required=False, strip=False, max_length=1 << 16, widget=forms.TextInput(attrs=MONO))
    key_as = forms.ChoiceField(
        label=_("Key is"), choices=[("text", _("Text")), ("hex", _("Hex"))], initial="text", widget=forms.RadioSelect
    )
    kind = forms.ChoiceField(
        label=_("Holds"), choices=[(Kind.VALUE.value, _("A value")), (Kind.COUNTER.value, _("A counter"))], initial=Kind.VALUE.value,
        widget=forms.RadioSelect,
    )  # fmt: skip
    value = forms.CharField(
        label=_("Value"), required=False, strip=False, max_length=1 << 22, widget=forms.Textarea(attrs={**MONO, "rows": 4})
    )
    value_as = forms.ChoiceField(label=_("Value is"), choices=EDITORS[1:4], initial="text", widget=forms.RadioSelect)
    number = forms.IntegerField(
        label=_("Number"),
        required=False,
        min_value=INT64[0],
        max_value=INT64[1],
        widget=forms.NumberInput(attrs={"class": "form-control kv-w-md"}),
    )

    def clean_key(self) -> bytes:
        text = self.cleaned_data["key"]
        return typed_hex(text) if self.data.get("key_as") == "hex" else str(text).encode()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("kind") == Kind.COUNTER.value:
            if cleaned.get("number") is None and "number" not in self.errors:
                self.add_error("number", _("Give the number to start from."))
        elif "value" in cleaned and cleaned.get("value_as"):
            try:
                cleaned["value"] = TYPED[cleaned["value_as"]](cleaned["value"])
            except forms.ValidationError as error:
                self.add_error("value", error)
        return cleaned


class DeleteForm(SeenForm):
    """Delete the row that was on screen."""

    def wanted(self) -> str:
        return str(_("delete it"))


def _short(value: bytes) -> str:
    if is_text(value):
        text = value.decode()
        return f"“{text[:80]}…”" if len(text) > 80 else f"“{text}”"
    return f"{value[:24].hex(' ')}{'…' if len(value) > 24 else ''}, {len(value):,} B"
