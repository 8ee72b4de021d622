"""The mail server whose management API may be used."""

from __future__ import annotations

from django.db import models

from stores.models.fields import EncryptedJSONField
from stores.models.store import VERSIONS


class MailServer(models.Model):
    """Address and credential of a Stalwart server; the credential is encrypted at rest. One row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    url = models.CharField(max_length=300)
    version = models.CharField(max_length=8, choices=[(version, version) for version in VERSIONS[1:]])
    secret = EncryptedJSONField(default=dict)
    """`token`: an API key, or `name:password`."""
    allow_invalid_certs = models.BooleanField(default=False)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_mail_server")]

    def __str__(self) -> str:
        return self.url
