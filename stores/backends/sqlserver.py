"""What PostgreSQL and MySQL share as servers: the settings of a connection, the refusals of one, and the way to the server."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stores.codecs.options import seconds, switch, whole_number
from stores.errors import BadConfig, StoreRefused
from stores.texts import figure, say
from stores.types import Check, CheckState, FieldType, SettingField

CONNECT_SECONDS: Final = 2.0
READ_SECONDS: Final = 5.0
"""How long an answer may take; also the server's own limit for a statement."""
WAIT_SLICE: Final = 0.5
"""Seconds that a statement of PostgreSQL waits for another transaction at a time, holding meanwhile what it has locked itself; between two
tries nothing is held, and a run sees whether it is to stop. MySQL knows whole seconds only.
"""

TLS_FIELDS: Final = (
    SettingField("tls.enable", FieldType.BOOLEAN, "TLS", default="false", help="Encrypt the connection."),
    SettingField(
        "tls.allow-invalid-certs",
        FieldType.BOOLEAN,
        "TLS: accept any certificate",
        default="false",
        help="Off: the certificate has to be valid and of this host.",
    ),
    SettingField(
        "tls.ca-file",
        FieldType.PATH,
        "TLS: file of trusted certificates",
        advanced=True,
        help="PEM; the system's own when empty. An option of kvadmin, unknown to Stalwart.",
    ),
    SettingField("tls.client-cert", FieldType.PATH, "TLS: client certificate", advanced=True, help="PEM. An option of kvadmin."),
    SettingField("tls.client-key", FieldType.PATH, "TLS: key of the client certificate", advanced=True, help="PEM. An option of kvadmin."),
)


class ConnectionRefused(StoreRefused):
    """The server let nobody in; `step` is the step of the connection test that failed."""

    def __init__(self, step: str, message: str, fix: str) -> None:
        super().__init__(message, fix)
        self.step = step


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """A connection as the settings describe it."""

    host: str
    port: int
    database: str
    user: str
    password: str
    connect_seconds: float
    tls: bool
    allow_invalid: bool
    ca_file: str
    client_cert: str
    client_key: str

    @property
    def server(self) -> str:
        """Where the server is, for messages."""
        return f"{self.host}:{self.port}" if self.host else f"the local socket of port {self.port}"

    @classmethod
    def of(cls, settings: Mapping[str, str], port: int, *, timeout_connects: bool, host_required: bool) -> ServerConfig:
        """Read and check the settings. Raises BadConfig that names the setting."""
        tls = switch("tls.enable", settings.get("tls.enable", ""))
        for name in ("tls.ca-file", "tls.client-cert", "tls.client-key"):
            if tls and settings.get(name):
                _check_readable(name, settings[name])
        for name in ("host", "database") if host_required else ("database",):
            if not settings.get(name):
                raise BadConfig(
                    say("This store needs a %(name)s.", name=name),
                    say("Give the %(name)s as in Stalwart's configuration.", name=name),
                    name,
                )
        wait = seconds("timeout", settings.get("timeout", ""), CONNECT_SECONDS) if timeout_connects else CONNECT_SECONDS
        return cls(
            settings.get("host", ""),
            whole_number("port", settings.get("port", ""), port, 1, 65535),
            settings["database"],
            settings.get("user", ""),
            settings.get("password", ""),
            wait,
            tls,
            switch("tls.allow-invalid-certs", settings.get("tls.allow-invalid-certs", "")),
            settings.get("tls.ca-file", ""),
            settings.get("tls.client-cert", ""),
            settings.get("tls.client-key", ""),
        )

    def trusted_file(self) -> str | None:
        """The file of trusted certificates: the setting, or the system's bundle; None when there is neither."""
        paths = [self.ca_file, ssl.get_default_verify_paths().cafile or "", *_BUNDLES]
        return next((path for path in paths if path and Path(path).is_file()), None)


def _check_readable(name: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise BadConfig(
            say("%(name)s: %(path)s cannot be read (%(reason)s).", name=name, path=path, reason=error.strerror),
            say("Make it readable for kvadmin's user."),
            name,
        ) from None


_BUNDLES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem")


def way_to(config: ServerConfig, sockets: tuple[str, ...] = ()) -> Iterator[Check]:
    """Steps Name and Connection: resolve the host and open a socket to it, or find the local socket."""
    if not config.host:
        found = next((path for path in sockets if Path(path).exists()), None)
        if found is None:
            yield Check(
                say("Connection"),
                CheckState.FAILED,
                say("There is no socket %(sockets)s.", sockets=", ".join(sockets)),
                say("Start the server, or give a host."),
            )
        else:
            yield Check(say("Connection"), CheckState.OK, found)
        return
    try:
        addresses = {str(info[4][0]) for info in socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        problem = getattr(error, "strerror", None) or error
        yield Check(
            say("Name"),
            CheckState.FAILED,
            say("%(host)s cannot be resolved (%(problem)s).", host=config.host, problem=problem),
            say("Correct host, or the name service."),
        )
        return
    yield Check(say("Name"), CheckState.OK, say("%(host)s is %(addresses)s", host=config.host, addresses=", ".join(sorted(addresses))))
    began = time.perf_counter()
    try:
        socket.create_connection((config.host, config.port), config.connect_seconds).close()
    except OSError as error:
        fix = say("Check that the server runs, listens there and is not behind a firewall.")
        yield Check(say("Connection"), CheckState.FAILED, f"{config.server}: {error.strerror or error}", fix)
        return
    yield Check(
        say("Connection"),
        CheckState.OK,
        say("%(server)s in %(time)s ms", server=config.server, time=figure((time.perf_counter() - began) * 1000, 1)),
    )
