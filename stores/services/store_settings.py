"""Settings of a store: checked against what its backend declares, shown with secrets masked, merged back from a form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from stores.backends.base import Backend
from stores.errors import BadConfig, NotSupported
from stores.registry import backend_class
from stores.texts import say
from stores.types import FieldType, SettingField

MASK: Final = "••••••••"
"""Stands for a secret that is set. A form that sends it back keeps the secret."""

_MACRO: Final = re.compile(r"%\{[a-z]+:[^}]*\}%")
_DURATION: Final = re.compile(r"[0-9]+\s*(?:d|h|m|s|ms)?", re.ASCII)
_NO_DURATION: Final = frozenset({"0", "false", "disable", "disabled", "never"})
_BOOLEANS: Final = {"true": "true", "1": "true", "yes": "true", "on": "true", "false": "false", "0": "false", "no": "false", "off": "false"}
_URL_SECRET: Final = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^/\s@:]*:)(?P<secret>[^/\s]*)@", re.IGNORECASE)
_URL_QUERY_SECRET: Final = re.compile(r"(?P<head>[?&](?:password|pass|token|secret|key)=)(?P<secret>[^&#\s]*)", re.IGNORECASE)
_SECRET_NAME: Final = re.compile(r"pass|secret|token|key|credential|urls?$|auth", re.IGNORECASE)


def fields_of(type_name: str) -> Mapping[str, SettingField]:
    """The settings a backend declares, by name, in its order. Raises NotSupported for an unknown type."""
    return {field.name: field for field in backend_class(type_name).SETTINGS}


def checked_settings(type_name: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Settings as they are stored: empty ones dropped, booleans spelt one way, each valid for its field.

    Raises BadConfig whose `field` names the setting, and NotSupported for an unknown type.
    """
    fields = fields_of(type_name)
    found: dict[str, str] = {}
    for name, value in settings.items():
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise BadConfig(
                say('Stores of type %(type_name)s have no setting "%(name)s".', type_name=type_name, name=name),
                say("Settings of this type: %(known)s.", known=known),
                name,
            )
        if value.strip():
            found[name] = _checked(fields[name], value)
    for name, field in fields.items():
        if field.required and name not in found:
            raise BadConfig(say("%(label)s is missing.", label=field.label or name), say("Give a value for %(name)s.", name=name), name)
    return found


def instantiate(type_name: str, settings: Mapping[str, str], **extras: object) -> Backend:
    """A backend of these resolved settings that has opened nothing yet: its own checks run. Raises BadConfig."""
    make: Callable[..., Backend] = backend_class(type_name)
    return make(settings, **extras)


def masked(type_name: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings for showing: passwords as dots, URLs without their passwords. Macros are shown, they hold no secret."""
    try:
        fields = fields_of(type_name)
    except NotSupported:
        fields = {}
    return {name: _masked(_type_of(name, fields), value) for name, value in settings.items()}


def merged(type_name: str, stored: Mapping[str, str], submitted: Mapping[str, str]) -> dict[str, str]:
    """What a form sent, with the stored secret wherever a masked value came back untouched.

    For several URLs each one is compared by itself, so that one can be edited without typing the passwords of the others.
    """
    shown = masked(type_name, stored)
    found: dict[str, str] = {}
    for name, value in submitted.items():
        if name not in stored or MASK not in value:
            found[name] = value
        elif value.strip() == shown[name]:
            found[name] = stored[name]
        else:
            found[name] = _merged_urls(name, stored[name], value)
    return found


def _checked(field: SettingField, value: str) -> str:
    if field.type is not FieldType.PASSWORD:
        value = value.strip()
    if MASK in value:
        raise BadConfig(
            say("%(label)s holds the dots of a masked secret.", label=field.label or field.name), say("Type the secret itself."), field.name
        )
    if _MACRO.search(value):
        return value
    problem = _CHECKS[field.type](field, value) if field.type in _CHECKS else ""
    if problem:
        raise BadConfig(
            say("%(label)s: %(problem)s", label=field.label or field.name, problem=problem),
            say("Setting %(field)s.", field=field.name),
            field.name,
        )
    return _BOOLEANS[value.lower()] if field.type is FieldType.BOOLEAN else value


def _check_integer(field: SettingField, value: str) -> str:
    return "" if re.fullmatch(r"[0-9]{1,10}", value) else say("write a whole number, digits only.")


def _check_boolean(field: SettingField, value: str) -> str:
    return "" if value.lower() in _BOOLEANS else say("write true or false.")


def _check_duration(field: SettingField, value: str) -> str:
    if value.lower() in _NO_DURATION or (_DURATION.fullmatch(value) and int(re.match(r"[0-9]+", value)[0]) > 0):  # type: ignore[index]
        return ""
    return say("write a number with d, h, m, s or ms, such as 30s; a number alone is milliseconds.")


def _check_choice(field: SettingField, value: str) -> str:
    return "" if value in field.choices else say("choose one of %(names)s.", names=", ".join(field.choices))


_CHECKS: Final[Mapping[FieldType, Callable[[SettingField, str], str]]] = {
    FieldType.INTEGER: _check_integer,
    FieldType.BOOLEAN: _check_boolean,
    FieldType.DURATION: _check_duration,
    FieldType.CHOICE: _check_choice,
}


def _type_of(name: str, fields: Mapping[str, SettingField]) -> FieldType:
    """Without a declared field, a name that sounds secret counts as one."""
    if name in fields:
        return fields[name].type
    if re.search(r"urls?$", name, re.IGNORECASE):
        return FieldType.URLS
    return FieldType.PASSWORD if _SECRET_NAME.search(name) else FieldType.TEXT


def _masked(kind: FieldType, value: str) -> str:
    if kind is FieldType.PASSWORD:
        return value if not value or _MACRO.fullmatch(value) else MASK
    if kind is FieldType.URLS:
        return _URL_QUERY_SECRET.sub(_mask_match, _URL_SECRET.sub(_mask_match, value))
    return value


def _mask_match(match: re.Match[str]) -> str:
    secret = match["secret"]
    shown = secret if not secret or _MACRO.fullmatch(secret) else MASK
    return match[0].replace(match["head"] + secret, match["head"] + shown, 1)


def _merged_urls(name: str, stored: str, value: str) -> str:
    """Put the stored URL in the place of each URL that came back exactly as it was shown."""
    originals = {_masked(FieldType.URLS, url): url for url in re.split(r"[\s,]+", stored) if url}
    parts = re.split(r"([\s,]+)", value)
    found = "".join(originals.get(part, part) for part in parts)
    if MASK in found:
        raise BadConfig(
            say("%(name)s: a URL was changed but still holds the dots of its masked password.", name=name),
            say("Type the password into the changed URL."),
            name,
        )
    return found
