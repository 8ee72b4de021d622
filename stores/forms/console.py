"""What the console takes: a text in one of three languages, variables, and whether it may write."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from stores.expressions import Value
from stores.expressions.contexts import ARRAYS, INTEGERS, LABELS, SIEVE, VARIABLES
from stores.forms.base import StyledForm, style
from stores.models import VERSIONS

EXPRESSION, SETTING, SIEVE_SCRIPT = "expression", "setting", "sieve"
LANGUAGES = ((EXPRESSION, _("Expression")), (SETTING, _("Setting in TOML")), (SIEVE_SCRIPT, _("Sieve script")))
_LINE = re.compile(r"\s*([A-Za-z_$@][\w.$]*)\s*=\s?(.*)")


class ConsoleForm(StyledForm):
    """Fields of the variables are drawn for the chosen context and have the prefix `var.`."""

    language = forms.ChoiceField(choices=LANGUAGES, initial=EXPRESSION, widget=forms.RadioSelect)
    context = forms.ChoiceField(label=_("Where it stands"), choices=list(LABELS.items()), initial="rcpt", required=False)
    version = forms.ChoiceField(label=_("Stalwart"), choices=[(v, v) for v in VERSIONS[1:]], initial="0.11")
    source = forms.CharField(
        label=_("Text"), max_length=64 * 1024, strip=False, widget=forms.Textarea(attrs={"rows": 6, "spellcheck": "false"})
    )
    more = forms.CharField(
        label=_("More variables"),
        required=False,
        max_length=16 * 1024,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text=_("One a line, name = value. A number is a number, '5' in quotes is text."),
    )
    allow_writes = forms.BooleanField(
        label=_("Let it write"),
        required=False,
        help_text=_("key_set and counter_incr really change the store. Off: they stop the evaluation."),
    )

    def __init__(self, data: Any = None, *, context: str = "rcpt", language: str = EXPRESSION, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self.names = SIEVE if language == SIEVE_SCRIPT else VARIABLES.get(context, VARIABLES["rcpt"])
        for name in self.names:
            widget = forms.Textarea(attrs={"rows": 2}) if name in ARRAYS else forms.TextInput(attrs={"autocomplete": "off"})
            field = forms.CharField(label=name, required=False, max_length=4096, widget=widget)
            style(field.widget)
            self.fields[f"var.{name}"] = field

    @property
    def variable_fields(self) -> list[forms.BoundField]:
        return [self[f"var.{name}"] for name in self.names]

    @property
    def filled(self) -> bool:
        """Whether any variable has a value, or an error: then they stay unfolded."""
        return any(field.value() or field.errors for field in (*self.variable_fields, self["more"]))

    def clean_source(self) -> str:
        """Browsers send CRLF; files have LF."""
        return str(self.cleaned_data["source"]).replace("\r\n", "\n")

    def clean_more(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for number, line in enumerate(self.cleaned_data["more"].splitlines(), 1):
            if not line.strip():
                continue
            match = _LINE.fullmatch(line)
            if match is None:
                raise forms.ValidationError(_("Line %(number)s is not of the form name = value.") % {"number": number})
            found[match[1]] = read_value(match[2].strip())
        return found

    def variables(self) -> dict[str, Value]:
        """All names of the context, those left empty as empty text, and the additional ones over them."""
        found: dict[str, Value] = {}
        for name in self.names:
            text = self.cleaned_data.get(f"var.{name}") or ""
            if name in ARRAYS:
                found[name] = [line.strip() for line in text.splitlines() if line.strip()]
            elif name in INTEGERS and re.fullmatch(r"-?\d{1,18}", text.strip()):
                found[name] = int(text)
            else:
                found[name] = text
        more: dict[str, Value] = self.cleaned_data["more"]
        return found | more


def read_value(text: str) -> Value:
    """A number where the text is one, quoted text without its quotes, anything else as it is."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if re.fullmatch(r"-?\d{1,18}", text):
        return int(text)
    if re.fullmatch(r"-?\d+\.\d+", text):
        return float(text)
    return text
