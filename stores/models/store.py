"""Store definitions: what kvadmin connects to, and which one is the default lookup store."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from stores.models.fields import EncryptedJSONField

VERSIONS = ("0.10", "0.11", "0.12", "0.13", "0.14", "0.15", "0.16")


class Store(models.Model):
    """One lookup store, by Stalwart's id. `settings` are Stalwart's options as text, encrypted as a whole at rest."""

    id = models.CharField(
        primary_key=True,
        max_length=191,
        validators=[
            RegexValidator(
                r"^[^\x00-\x20/\\?#%\x7f]+\Z", _("Use letters, digits, dots, dashes; no blanks, slashes, ?, # or percent signs.")
            )
        ],
    )
    type = models.CharField(max_length=40)
    settings = EncryptedJSONField(default=dict)
    version = models.CharField(max_length=8, blank=True, choices=[(v, v) for v in VERSIONS], help_text="empty: detected")
    detected_version = models.CharField(max_length=8, blank=True, editable=False)
    enabled = models.BooleanField(default=True)
    read_only = models.BooleanField(default=False)
    purge_frequency = models.CharField(max_length=64, blank=True)
    """Stalwart's `store.<id>.purge.frequency`, empty: never purged from here."""
    purge_paused = models.BooleanField(default=False)
    purge_pace = models.CharField(max_length=8, default="gentle")
    census_minutes = models.PositiveIntegerField(default=60)
    """The store is counted this often; 0: only on request."""
    origin = models.CharField(max_length=200, blank=True)
    """Where the definition came from: "created here", "import of config.toml"."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.id

    @property
    def effective_version(self) -> str:
        """Stalwart version that decides tables, locks and encodings; the main target when nothing is known."""
        return self.version or self.detected_version or "0.11"


class DefaultLookupStore(models.Model):
    """The one row that names the default lookup store (`storage.lookup`).

    The primary key allows a single row and the protected, non-null reference keeps the store it names from vanishing, so
    that the database itself holds "exactly one default once a store exists".
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    store = models.OneToOneField(Store, on_delete=models.PROTECT, related_name="default_row")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_default_lookup_store")]

    def __str__(self) -> str:
        return self.store_id


class StaticEntry(models.Model):
    """One `lookup.<id>.<key> = value` of an in-memory static store."""

    store = models.ForeignKey(Store, on_delete=models.CASCADE, related_name="entries")
    key = models.CharField(max_length=512)
    value = models.TextField(blank=True)
    position = models.PositiveIntegerField(default=0)
    """Order of creation; decides between globs in 0.16."""

    class Meta:
        ordering = ["store", "position", "id"]
        constraints = [models.UniqueConstraint(fields=["store", "key"], name="one_static_entry_per_key")]

    def __str__(self) -> str:
        return f"{self.store_id}.{self.key}"
