"""Importing a configuration: upload or paste, then choose what to create."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.http import QueryDict

from stores.forms.base import StyledForm

MOST_BYTES: Final = 2 << 20


class UploadForm(StyledForm):
    """A file or a pasted text; the file counts when both are given."""

    file = forms.FileField(
        label="File", required=False, allow_empty_file=True, help_text="config.toml of Stalwart 0.10 to 0.15, config.json of 0.16"
    )
    text = forms.CharField(
        label="Or its text",
        required=False,
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 14,
                "class": "form-control kv-mono",
                "spellcheck": "false",
                "autocomplete": "off",
                "placeholder": '[store."memstore"]\ntype = "redis"',
            }
        ),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        upload = cleaned.get("file")
        if upload is not None and upload.size > MOST_BYTES:
            self.add_error("file", f"The file has {upload.size:,} bytes; a configuration has at most {MOST_BYTES:,}.")
        elif upload is not None:
            self.name = upload.name or "config.toml"
            try:
                self.content = upload.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                self.add_error("file", "This is not a text file in UTF-8.")
        elif len(cleaned.get("text") or "") > MOST_BYTES:
            self.add_error("text", f"The text is longer than {MOST_BYTES:,} characters.")
        elif (cleaned.get("text") or "").strip():
            self.name, self.content = "pasted text", cleaned["text"].replace("\r\n", "\n")
        elif not self.errors:
            self.add_error("file", "Choose the file, or paste its text below.")
        return cleaned


class ApplyForm(forms.Form):
    """Which of the planned stores to create."""

    repair = forms.BooleanField(required=False)

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        self.chosen = frozenset(data.getlist("store"))
