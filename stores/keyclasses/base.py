"""What a key class is: bytes to words and, where editing is safe, back again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stores.types import Kind

FieldValue = str | int | float | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A key in words. `fields` are the parts by name; times are Unix seconds, `label` is one line for people.

    Nothing secret is in here: codes, tokens and private keys come masked.
    """

    slug: str | None
    """Slug of the spec ("rate-auth"), None for a user key."""
    title: str
    """Short name for chips and lists ("Failed logins")."""
    kind: Kind
    label: str
    """The subject: "203.0.113.20", "news@good.org to john@example.com"."""
    value_label: str = ""
    """The value in words: "37 in this window", "ham 12, spam 340"."""
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    parts: tuple[tuple[int, int, str], ...] = ()
    """Slices of the key for the hex view: start, end, meaning."""
    value_parts: tuple[tuple[int, int, str], ...] = ()
    """The same for the payload."""
    secret_key: bool = False
    secret_value: bool = False
    personal: bool = False
    editable: str = ""
    """Name of the encoder form that may write this value ("reputation", "counter", ...), empty when only hex is safe."""
    unverified: bool = False
    """No captured row of this class and version was available to check the decoder against."""
    note: str = ""
    """A warning for the reader: "expiry unreliable", "lock of a dead worker", ..."""
    problem: str = ""
    """Why the value could not be decoded although the key has the class's shape."""
