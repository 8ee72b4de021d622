"""What Stalwart's keys mean: every class of every version from 0.10 to 0.16, as bytes to words and, where safe, back.

classify   slug and kind of a key, cheap
decode     an entry in words, total on any bytes
encode     a value from a small form
traces     where to look for an IP, login, address, domain, AS number, Message-ID or queue id
"""

from stores.keyclasses.base import CUSTOM_SLUG, Decoded, EditorField, FieldValue, KeyClass, StoreKind
from stores.keyclasses.catalog import CLASSES, class_of, classes_of, classify, decode, is_lock, left_over
from stores.keyclasses.custom import CUSTOM

__all__ = [
    "CLASSES",
    "CUSTOM",
    "CUSTOM_SLUG",
    "Decoded",
    "EditorField",
    "FieldValue",
    "KeyClass",
    "StoreKind",
    "class_of",
    "classes_of",
    "classify",
    "decode",
    "is_lock",
    "left_over",
]
