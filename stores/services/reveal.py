"""Secrets in clear, for those who may see them: codes, challenge tokens, lock tokens. Every look is on record, never what was seen.

The private key of a certificate is not among them: it never leaves its decoder.
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from stores.errors import BadConfig, KeyNotFound
from stores.models import Store
from stores.services import audit
from stores.services.actor import Actor
from stores.services.browse import read_key
from stores.services.permissions import Permission, require
from stores.services.rows import Row


def reveal(actor: Actor, store: Store, key: bytes) -> Row:
    """One key with its secrets in clear in `fields`. One round trip and one audit entry, written before it is answered.

    Raises Forbidden without the permission, KeyNotFound, BadConfig for a key that hides nothing, and what the store says.
    """
    require(actor, Permission.REVEAL, store)
    row = read_key(store, key, reveal=True)
    if row is None:
        raise KeyNotFound(_("There is no such key any more."), _("Look at the list again."))
    if not (row.decoded.secret_key or row.decoded.secret_value):
        raise BadConfig(_("Nothing of this key is hidden."), _("Open its page."))
    audit.record(actor, "reveal", store, key=audit.key_text(key, row.decoded.secret_key), class_slug=row.decoded.slug or "")
    return row


def printed(actor: Actor, store: Store, secrets: int) -> None:
    """On record that a command wrote the exact bytes of so many secret keys; nothing for none."""
    if secrets:
        audit.record(actor, "reveal-written", store, after={"keys": secrets})
