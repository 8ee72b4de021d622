"""What every form shares: the look of its fields, and errors of services at the field they are about."""

from __future__ import annotations

from typing import Any

from django import forms

from stores.errors import BadConfig

CHECKS = (forms.CheckboxInput, forms.RadioSelect, forms.CheckboxSelectMultiple)


class StyledForm(forms.Form):
    """A form whose widgets carry the classes of the stylesheet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            style(field.widget)

    def blame(self, error: BadConfig) -> None:
        """Put a service's refusal at the field that it names, or above the form."""
        self.add_error(error.field if error.field in self.fields else None, error.said)


def style(widget: forms.Widget) -> None:
    """Give a widget its class; those already there stay."""
    kind = "form-check-input" if isinstance(widget, CHECKS) else "form-select" if isinstance(widget, forms.Select) else "form-control"
    present = str(widget.attrs.get("class", ""))
    if kind not in present.split():
        widget.attrs["class"] = f"{kind} {present}".strip()
