"""Store definitions: a form that draws itself from the settings a backend declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from stores.codecs.staticlookup import CONSULTED
from stores.errors import BadConfig, NotSupported
from stores.forms.base import StyledForm, style
from stores.forms.entries import from_lines, to_lines
from stores.models import VERSIONS, Store
from stores.registry import BACKENDS, HIDDEN, backend_class
from stores.services.store_checks import STATIC
from stores.services.store_settings import fields_of
from stores.texts import shown
from stores.types import FieldType, SettingField

PREFIX: Final = "set_"


@dataclass(frozen=True, slots=True)
class TypeChoice:
    """A kind of store that can be defined. `why` says why not, on this installation."""

    name: str
    label: str
    advice: str
    why: str


def type_choices() -> list[TypeChoice]:
    """All types that a form offers, those whose driver is missing too."""
    found = []
    for name in BACKENDS:
        if name in HIDDEN:
            continue
        try:
            backend = backend_class(name)
        except NotSupported as error:
            found.append(TypeChoice(name, name, "", str(error)))
        else:
            found.append(TypeChoice(name, backend.LABEL, backend.ADVICE, ""))
    return found


class StoreForm(StyledForm):
    """Id, version, switches, and one field for each setting of the type."""

    id = forms.CharField(
        label=_("Id"),
        max_length=191,
        help_text=_("As Stalwart names it, such as memstore or in-memory. Expressions and scripts use this name."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}),
    )
    version = forms.ChoiceField(
        label=_("Stalwart version"),
        required=False,
        choices=[("", _("Detect it")), *((version, version) for version in VERSIONS)],
        help_text=_("Decides tables, locks and encodings."),
    )
    read_only = forms.BooleanField(label=_("Read only: kvadmin never writes into this store"), required=False)
    make_default = forms.BooleanField(label=_("Make it the default lookup store"), required=False)
    enabled = forms.BooleanField(label=_("Switched on"), required=False)

    def __init__(self, data: Any = None, *, type_name: str, store: Store | None = None, initial: Mapping[str, Any] | None = None) -> None:
        self.type_name, self.store = type_name, store
        super().__init__(data, initial=dict(initial or {}), auto_id="store-%s")
        self.settings_fields = fields_of(type_name)
        for name, setting in self.settings_fields.items():
            made = setting_field(setting)
            if setting.modes:
                made.widget.attrs["data-kv-mode"] = " ".join(setting.modes)
            self.fields[PREFIX + name] = made
        if type_name == STATIC:
            self.fields["entries"] = entries_field()
            known = _("As Stalwart names it. Of these it asks some by itself: %(ids)s.")
            self.fields["id"].help_text = known % {"ids": ", ".join(CONSULTED)}
        for field in ("id", "make_default") if store else ("enabled",):
            del self.fields[field]
        for bound in self.fields.values():
            style(bound.widget)
            if isinstance(bound.widget, forms.PasswordInput):
                bound.widget.render_value = True

    @classmethod
    def of_store(cls, store: Store, shown: Mapping[str, str], data: Any = None) -> StoreForm:
        """The form of a definition that exists; `shown` are its masked settings."""
        initial: dict[str, Any] = {"version": store.version, "read_only": store.read_only, "enabled": store.enabled}
        for name, value in shown.items():
            initial[PREFIX + name] = value
        if store.type == STATIC:
            initial["entries"] = to_lines(store.entries.values_list("key", "value"))
        return cls(data, type_name=store.type, store=store, initial=initial)

    def clean_entries(self) -> list[tuple[str, str]]:
        return from_lines(self.cleaned_data["entries"])

    def settings(self) -> dict[str, str]:
        """What was typed, by Stalwart's option names."""
        return {name: self.cleaned_data.get(PREFIX + name, "") or "" for name in self.settings_fields}

    def entries(self) -> list[tuple[str, str]]:
        """Key and value pairs of a static store."""
        return list(self.cleaned_data.get("entries") or [])

    def blame(self, error: BadConfig) -> None:
        """Settings are fields of their own here."""
        field = PREFIX + error.field if PREFIX + error.field in self.fields else error.field
        super().blame(BadConfig(error.message, error.fix, field))

    def plain(self) -> Iterable[forms.BoundField]:
        """The settings everybody fills in."""
        return [self[PREFIX + name] for name, setting in self.settings_fields.items() if not setting.advanced and setting.used]

    def folded(self) -> Iterable[forms.BoundField]:
        """The settings behind "More settings"."""
        return [self[PREFIX + name] for name, setting in self.settings_fields.items() if setting.advanced or not setting.used]

    def opened(self) -> bool:
        """Whether one of the folded settings is set or wrong."""
        return any(field.errors or field.value() for field in self.folded())


def setting_field(setting: SettingField) -> forms.Field:
    """One setting as a form field. All values are text, checked by the service."""
    common: dict[str, Any] = {"label": setting.label or setting.name, "required": False, "help_text": _help(setting)}
    attrs = {"autocomplete": "off", "spellcheck": "false", "placeholder": setting.default}
    if setting.type is FieldType.BOOLEAN:
        default = _("Default: yes") if setting.default == "true" else _("Default: no")
        return forms.ChoiceField(choices=[("", default), ("true", _("Yes")), ("false", _("No"))], **common)
    if setting.type is FieldType.CHOICE:
        blank = ("", _("Default: %(default)s") % {"default": setting.default} if setting.default else _("Choose"))
        return forms.ChoiceField(choices=[blank, *((choice, choice) for choice in setting.choices)], **common)
    if setting.type is FieldType.PASSWORD:
        return forms.CharField(strip=False, widget=forms.PasswordInput(attrs={**attrs, "autocomplete": "new-password"}), **common)
    if setting.type is FieldType.URLS:
        return forms.CharField(widget=forms.Textarea(attrs={**attrs, "rows": 2, "class": "form-control kv-mono"}), **common)
    return forms.CharField(widget=forms.TextInput(attrs=attrs), max_length=4096, **common)


def _help(setting: SettingField) -> str:
    parts = [str(shown(setting.help)), "" if setting.used else str(_("Kept for Stalwart; kvadmin itself does not use it."))]
    return " ".join(part for part in parts if part)


def entries_field() -> forms.Field:
    """The entries of a static store, one a line."""
    return forms.CharField(
        label=_("Entries"),
        required=False,
        strip=False,
        max_length=1 << 21,
        help_text=_('One a line, key = value; a key alone has no value. Quote texts with equals signs or outer blanks: "a = b" = 1.'),
        widget=forms.Textarea(attrs={"rows": 12, "class": "form-control kv-mono", "spellcheck": "false"}),
    )


class DeleteStoreForm(StyledForm):
    """Forget a definition. Deleting the default lookup store names the one that follows it."""

    new_default = forms.ChoiceField(label=_("The new default lookup store"), required=False)

    def __init__(self, data: Any = None, *, others: Iterable[str] = ()) -> None:
        super().__init__(data, auto_id="delete-%s")
        self.fields["new_default"].choices = [("", _("Choose")), *((name, name) for name in others)]  # type: ignore[attr-defined]
