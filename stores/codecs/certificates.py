"""What a certificate says, read from its DER. Never given a private key."""

from __future__ import annotations

from typing import NamedTuple

from cryptography import x509


class Certificate(NamedTuple):
    """Times are Unix seconds."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    """Host names and addresses it is valid for."""
    not_before: int
    not_after: int
    acme: bool
    """Carries the proof of a tls-alpn-01 challenge."""


_ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def read_certificate(der: bytes) -> Certificate:
    """Raises ValueError when the bytes are no certificate."""
    try:
        found = x509.load_der_x509_certificate(der)
        extensions = list(found.extensions)
        return Certificate(
            found.subject.rfc4514_string(),
            found.issuer.rfc4514_string(),
            tuple(_names(extensions)),
            int(found.not_valid_before_utc.timestamp()),
            int(found.not_valid_after_utc.timestamp()),
            any(extension.oid == _ACME_IDENTIFIER for extension in extensions),
        )
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, OverflowError) as error:
        raise ValueError(f"no certificate: {error}") from None


def _names(extensions: list[x509.Extension[x509.ExtensionType]]) -> list[str]:
    names: list[str] = []
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names += extension.value.get_values_for_type(x509.DNSName)
            names += map(str, extension.value.get_values_for_type(x509.IPAddress))
    return names
