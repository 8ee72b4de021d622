"""What Stalwart's keys mean: every class of every version from 0.10 to 0.16, as bytes to words and, where safe, back.

classify   slug and kind of a key, cheap
decode     an entry in words, total on any bytes
encode     a value from a small form
build_key  a key from its parts
traces     where to look for an IP, login, address, domain, AS number, Message-ID or queue id
"""

from stores.keyclasses.base import CUSTOM_SLUG, Decoded, EditorField, FieldValue, KeyClass, StoreKind, Trace
from stores.keyclasses.building import build_key
from stores.keyclasses.catalog import CLASSES, class_of, classes_of, classify, decode, is_lock, left_over
from stores.keyclasses.custom import CUSTOM
from stores.keyclasses.editing import editor_fields, editor_values, encode
from stores.keyclasses.limits import Limiter, Rate, class_rates, limiters_of, parse_rate, smtp_limit_key
from stores.keyclasses.subjects import Meaning, understand
from stores.keyclasses.tracing import smtp_traces, traces

__all__ = [
    "CLASSES",
    "CUSTOM",
    "CUSTOM_SLUG",
    "Decoded",
    "EditorField",
    "FieldValue",
    "KeyClass",
    "Limiter",
    "Meaning",
    "Rate",
    "StoreKind",
    "Trace",
    "build_key",
    "class_of",
    "class_rates",
    "classes_of",
    "classify",
    "decode",
    "editor_fields",
    "editor_values",
    "encode",
    "is_lock",
    "left_over",
    "limiters_of",
    "parse_rate",
    "smtp_limit_key",
    "smtp_traces",
    "traces",
    "understand",
]
