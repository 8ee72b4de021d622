"""Asking a running mail server, or the settings in a data store, for the configuration that an import reads. Changes nothing anywhere.

0.11 to 0.15 answer through their settings API, 0.16 through JMAP; which of the two a server speaks is found out. What comes is reduced
to what an import uses before it is kept: names of other settings stay, their values do not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from django.utils.translation import gettext as _

from stores.errors import BadConfig, NotSupported, StoreError, StoreRefused, StoreUnavailable
from stores.models import Errand, MailServer, Store
from stores.services import audit, importer, mailserver, permissions, server_objects
from stores.services.access import opened
from stores.services.actor import Actor
from stores.services.mailserver_http import Bounds, LoginRefused, NoSuchThing, NotAllowed, Unusable, address_of, request
from stores.services.permissions import Permission
from stores.stalwart_toml import LOOKUP_SETTINGS, VERSION_HINTS, is_local, is_used, tells_version
from stores.stalwart_toml.merge import LOCAL_KEYS
from stores.stalwart_toml.options import DATA_STORES

SECONDS: Final = 30.0
"""For all requests of one import together."""
MOST_BYTES: Final = 32 << 20
"""Of one answer."""
MOST_SETTINGS: Final = 200_000
"""Settings that are read from a data store for one prefix."""
READABLE: Final = frozenset({*DATA_STORES, "sql-read-replica"})
"""Types of stores in which a server may keep its settings."""


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """Where a server is and who asks. Not shown by repr: it holds the credential."""

    url: str
    user: str = ""
    """Empty: `secret` is an API key."""
    secret: str = ""
    unchecked: bool = False
    """Whether a certificate that cannot be verified is taken."""
    allow_private: bool = False

    @property
    def token(self) -> str:
        """As it is kept for a mail server."""
        return f"{self.user}:{self.secret}" if self.user else self.secret


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What was learned, as text that `importer.plan` reads. Not shown by repr: it holds the passwords of stores."""

    name: str
    """Where it came from, in words."""
    text: str
    version: str
    """ "0.16", or "" for 0.11 to 0.15, where the settings tell it."""
    remarks: tuple[str, ...] = ()
    """What could not be read."""


def checked_access(url: str, user: str, secret: str, *, unchecked: bool = False, allow_private: bool = False) -> Access:
    """What a form or a command gave; without a secret that of the saved mail server, if the address is its.

    Raises BadConfig(field="url", "user" or "secret").
    """
    address_of(url)
    user, saved = user.strip(), mailserver.server()
    if ":" in user:
        raise BadConfig(_("A user name holds no colon."), _("Give the name alone, the password apart."), "user")
    if not secret and saved is not None and saved.url == url.strip() and not user:
        kept_user, colon, kept = str(saved.secret.get("token", "")).partition(":")
        user, secret = (kept_user, kept) if colon else ("", kept_user)
    if not secret:
        raise BadConfig(_("The password or API key is missing."), _("Give the one of an account that may read settings."), "secret")
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in user + secret):
        raise BadConfig(_("The password holds a control character."), _("Type it instead of pasting it."), "secret")
    return Access(url.strip(), user, secret, unchecked, allow_private)


def ask(actor: Actor, access: Access) -> Answer:
    """Ask a server. Blocks up to 30 seconds: background work. Audited, the credential left out.

    Raises BadConfig that names the input (url, user, secret, allow_private) for what can be put right there, else StoreUnavailable.
    """
    permissions.require(actor, Permission.CONFIGURE)
    note = audit.record(actor, "server-ask", after={"url": access.url, "user": access.user}, outcome=audit.STARTED)
    try:
        found = ask_server(access)
    except StoreError as error:
        audit.settle(note, audit.FAILED, after={"url": access.url, "error": error.message})
        raise
    audit.settle(note, audit.DONE)
    return found


def ask_server(access: Access) -> Answer:
    """As `ask`, without permission and audit."""
    at = MailServer(url=access.url, allow_invalid_certs=access.unchecked)
    at.secret = {"token": access.token}
    fix = _("Allow private addresses if this server is meant.")
    bounds = Bounds(time.monotonic() + SECONDS, access.allow_private, fix, MOST_BYTES)
    host = address_of(access.url)[0]
    try:
        try:
            return _settings_of(at, bounds, host)
        except NoSuchThing:
            return _objects_of(at, bounds, host)
    except LoginRefused:
        raise BadConfig(
            _("%(host)s does not accept the credential.") % {"host": host},
            _("Correct user and password, or give an API key and leave the user empty."),
            "secret",
        ) from None
    except NotAllowed:
        raise BadConfig(
            _("%(host)s does not let this account read its settings.") % {"host": host},
            _("Give the account the permissions authenticate and settings-list."),
            "user",
        ) from None
    except NoSuchThing as error:
        raise BadConfig(error.message, _("Give the address of Stalwart's management interface."), "url") from None
    except (StoreUnavailable, StoreRefused) as error:
        field = "allow_private" if error.fix == fix else "url"
        raise BadConfig(error.message, error.fix, field) from None


def of_store(store: Store) -> dict[str, str]:
    """The server's settings that concern lookups in a data store of 0.11 to 0.15, by name. Raises NotSupported, StoreUnavailable."""
    if store.type not in READABLE:
        raise NotSupported(
            _("Stalwart keeps no settings in a store of type %(type)s.") % {"type": store.type},
            _("Choose the store that is its data store (storage.data)."),
        )
    with opened(store) as backend:
        found = backend.server_settings([*LOOKUP_SETTINGS, *VERSION_HINTS], MOST_SETTINGS + 1)
    if found is None:
        raise NotSupported(
            _("Store %(store)s holds no settings that can be read as text.") % {"store": store.pk},
            _("From 0.16 on, ask the running server instead; before, choose the server's data store."),
        )
    if any(sum(name.startswith(prefix) for name in found) > MOST_SETTINGS for prefix in LOOKUP_SETTINGS):
        raise NotSupported(
            _("Store %(store)s holds more than %(number)s settings of one kind.") % {"store": store.pk, "number": f"{MOST_SETTINGS:,}"},
            _("Import them in parts from files."),
        )
    return found


def ask_store(actor: Actor, store: Store) -> Answer:
    """The settings of a data store as text for an import. Stalwart ignores those there that belong to its file; so does this."""
    permissions.require(actor, Permission.CONFIGURE)
    found = of_store(store)
    counted = {name: text for name, text in found.items() if not is_local(name, LOCAL_KEYS)}
    remarks = []
    if ignored := sum(is_used(name) for name in found.keys() - counted.keys()):
        words = _("%(number)s settings in it count only in Stalwart's file, and are ignored here as there.")
        remarks.append(words % {"number": ignored})
    if not counted:
        raise NotSupported(_("Store %(store)s holds no settings about lookups.") % {"store": store.pk}, _("Import Stalwart's file."))
    audit.record(actor, "settings-read", store, after={"settings": len(counted)})
    return Answer(_("the settings in %(store)s") % {"store": store.pk}, json.dumps(reduced(counted)), "", tuple(remarks))


def reduced(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings that an import looks at, and the bare names of those that tell the version."""
    return {name: text if is_used(name) else "" for name, text in settings.items() if is_used(name) or tells_version(name)}


def _settings_of(at: MailServer, bounds: Bounds, host: str) -> Answer:
    """The settings API: one request a prefix. Raises NoSuchThing for a server that has none."""
    found: dict[str, str] = {}
    for prefix in (*LOOKUP_SETTINGS, *VERSION_HINTS):
        answer = request(at, "GET", f"/api/settings/list?prefix={quote(prefix)}", bounds=bounds)
        found |= _listed(answer, prefix, host)
    remarks = []
    if not any(name.startswith("store.") for name in found):
        remarks.append(_("The server names no stores of its own: they are in its config.toml, which can be imported too."))
    if any(name.startswith("store.") and ("%{file:" in text or "%{env:" in text) for name, text in found.items()):
        remarks.append(_("Some settings name files or environment variables of the mail server's machine; they are read on this one."))
    return Answer(host, json.dumps({"settings": reduced(dict(sorted(found.items())))}), "", tuple(remarks))


def _listed(answer: Any, prefix: str, host: str) -> dict[str, str]:
    """The settings of one answer by their full names. Raises Unusable, NotAllowed."""
    if isinstance(answer, dict) and answer.get("error"):
        raise NotAllowed(str(answer["error"])[:200])
    data = answer.get("data") if isinstance(answer, dict) else None
    listed = data.get("items") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(listed, dict):
        raise Unusable(
            _("The answer of %(host)s is no list of settings.") % {"host": host}, _("Give the address of Stalwart's management interface.")
        )
    total = data.get("total", len(listed))
    if isinstance(total, int) and total > len(listed):
        words = _("%(host)s sent only %(sent)s of %(total)s settings of %(prefix)s")
        raise StoreUnavailable(words % {"host": host, "sent": len(listed), "total": total, "prefix": prefix}, _("Import its file instead."))
    return {
        (name if name.startswith(prefix) else prefix + name): str(text)
        for name, text in listed.items()
        if isinstance(name, str) and isinstance(text, str | int | float)
    }


def _objects_of(at: MailServer, bounds: Bounds, host: str) -> Answer:
    """JMAP of 0.16."""
    objects, remarks = server_objects.read(at, bounds, host)
    text = json.dumps({"objects": [{"object": f"x:{kind}", "value": value} for kind, value in objects]})
    return Answer(host, text, "0.16", tuple(remarks))


def ask_by_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """As `ask_server`, JSON in and out, for background work. The permission was asked when the errand was sent."""
    access = Access(params["url"], params["user"], params["secret"], bool(params["unchecked"]), bool(params["allow_private"]))
    found = ask_server(access)
    kept = {"url": access.url, "token": access.token, "unchecked": access.unchecked} if params["keep"] else None
    return {"name": found.name, "text": found.text, "version": found.version, "remarks": list(found.remarks), "keep": kept}


def keep_access(actor: Actor, kept: Mapping[str, Any], version: str) -> None:
    """Keep address and credential of a server that has answered, encrypted, as the mail server of the settings."""
    mailserver.save(actor, kept["url"], version, kept["token"], bool(kept["unchecked"]))


def keep_answered(actor: Actor, errand: Errand) -> None:
    """The same for the answer of an errand, which forgets the credential then."""
    answer: dict[str, Any] = errand.result
    version = answer["version"] or importer.plan(answer["text"], answer["name"]).version or "0.11"
    keep_access(actor, answer["keep"], version if version != "0.10" else "0.11")
    errand.result = answer | {"keep": None}
    errand.save(update_fields=["result"])
