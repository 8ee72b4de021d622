"""Throw-away certificates for a loopback server: an authority, a server for 127.0.0.1, a client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certificates:
    """PEM files in a folder: `ca`, `server`, `server_key`, `client`, `client_key`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca_key = ec.generate_private_key(ec.SECP256R1())
        self._ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kvadmin tests")])
        self.ca = self._write("ca.pem", self._sign(self._ca_name, self._ca_key.public_key(), authority=True))
        self.server, self.server_key = self._issue("server", x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]))
        self.client, self.client_key = self._issue("client", None)

    def settings(self) -> dict[str, str]:
        """The TLS settings of a Redis store."""
        return {"tls.ca-file": str(self.ca), "tls.client-cert": str(self.client), "tls.client-key": str(self.client_key)}

    def _issue(self, name: str, names: x509.SubjectAlternativeName | None) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._write(f"{name}.pem", self._sign(subject, key.public_key(), names=names))
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return certificate, self._write(f"{name}.key", pem)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        authority: bool = False,
        names: x509.SubjectAlternativeName | None = None,
    ) -> bytes:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._ca_name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if authority:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path
