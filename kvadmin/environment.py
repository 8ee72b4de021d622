"""Reads and checks every `KVADMIN_*` variable; a wrong value is refused with its name and the accepted form.

Each variable is declared once in `VARIABLES`; the settings table of the README is checked against it. A variable set to the
empty string counts as not set. Secret ones can also be given as a file: `KVADMIN_SECRET_KEY_FILE=/run/secrets/key`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from kvadmin import broker, keyfiles, parsers

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent
"""The checkout, or the folder of the installed packages."""

IN_CHECKOUT = (ROOT / "manage.py").is_file() and (ROOT / "pyproject.toml").is_file()


class BadEnvironment(Exception):
    """A variable is wrong; the message names it and the accepted form and never shows a secret value."""


@dataclass(frozen=True, slots=True)
class Variable(Generic[T]):
    """One variable. `default` is parsed like a value; `computed` says in words what stands in when there is none."""

    name: str
    form: str
    help: str
    parse: Callable[[str], T]
    default: str = ""
    computed: str = ""
    secret: bool = False

    @property
    def field(self) -> str:
        """Its name in `Environment`."""
        return self.name.removeprefix("KVADMIN_").lower()

    def read(self, source: Mapping[str, str]) -> T | None:
        """The parsed value, None when neither a value nor a literal default is there. Raises BadEnvironment."""
        text = source.get(self.name, "") or self._from_file(source) or self.default
        if not text:
            return None
        try:
            return self.parse(text)
        except ValueError as error:
            shown = "" if self.secret else f" {text[:80]!r}"
            raise BadEnvironment(f"{self.name}{shown} is refused: {error}. Accepted: {self.form}.") from None

    def _from_file(self, source: Mapping[str, str]) -> str:
        path = source.get(f"{self.name}_FILE", "") if self.secret else ""
        if not path:
            return ""
        try:
            return Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadEnvironment(f"{self.name}_FILE is refused: {path} cannot be read ({type(error).__name__}).") from None


DATA_DIR = Variable(
    "KVADMIN_DATA_DIR",
    "path of a folder that kvadmin's user may write",
    "Everything kvadmin keeps: its database, keys, the embedded broker and stores.",
    parsers.folder,
    computed="`data` in the checkout, `~/.local/share/kvadmin` when installed",
)
SECRET_KEY = Variable(
    "KVADMIN_SECRET_KEY",
    "at least 50 characters",
    "Signs sessions and forms. Changing it signs everybody out.",
    parsers.secret_key,
    computed="generated into the data folder",
    secret=True,
)
FIELD_KEYS = Variable(
    "KVADMIN_FIELD_KEYS",
    "Fernet keys (32 bytes as URL-safe base64), separated by commas",
    "Encrypt store passwords at rest. The first encrypts, all decrypt: put a new key first to rotate.",
    parsers.field_keys,
    computed="generated into the data folder",
    secret=True,
)
DATABASE_URL = Variable(
    "KVADMIN_DATABASE_URL",
    "sqlite:///PATH, postgresql://USER:PASSWORD@HOST:PORT/NAME or mysql://USER:PASSWORD@HOST:PORT/NAME",
    "kvadmin's own database (never a mail server's store).",
    parsers.database_url,
    computed="SQLite in the data folder",
    secret=True,
)
BROKER_URL = Variable(
    "KVADMIN_BROKER_URL",
    "redis://, rediss:// or sentinel:// with host, or redis+socket:///PATH; several sentinels are separated by `;`",
    "Queue of the background work; with it no embedded Valkey is started. A Redis Cluster cannot serve as a queue.",
    parsers.broker_url,
    computed="embedded Valkey on a Unix socket in the data folder",
    secret=True,
)
BROKER_MASTER = Variable(
    "KVADMIN_BROKER_MASTER",
    "name of the monitored primary",
    "Only with a sentinel:// broker.",
    parsers.text,
    default="mymaster",
)
BROKER_SENTINEL_PASSWORD = Variable(
    "KVADMIN_BROKER_SENTINEL_PASSWORD",
    "text",
    "Password of the sentinels themselves; the one in the URL is the primary's.",
    parsers.text,
    computed="none",
    secret=True,
)
ALLOWED_HOSTS = Variable(
    "KVADMIN_ALLOWED_HOSTS",
    "host names separated by commas, `.example.org` for all below, `*` for any",
    "Names under which the pages may be asked for.",
    parsers.hosts,
    computed="`localhost`, `127.0.0.1`, `[::1]`, this machine's name and the address given to `--host`",
)
HOST = Variable("KVADMIN_HOST", "an address of this machine", "Where the pages are served.", parsers.text, default="127.0.0.1")
PORT = Variable("KVADMIN_PORT", "0 to 65535, 0 for any free one", "Port of the pages.", parsers.port, default="8000")
HTTPS = Variable(
    "KVADMIN_HTTPS",
    "on or off",
    "The pages are reached over TLS through a proxy: secure cookies, HSTS, redirect of plain requests.",
    parsers.switch,
    default="off",
)
TRUSTED_PROXIES = Variable(
    "KVADMIN_TRUSTED_PROXIES",
    "addresses or networks separated by commas",
    "Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    parsers.networks,
    default="127.0.0.1,::1",
)
TRUSTED_ORIGINS = Variable(
    "KVADMIN_TRUSTED_ORIGINS",
    "origins such as https://kvadmin.example.org, separated by commas",
    "Origins that may send forms, where a proxy changes the Host header.",
    parsers.origins,
    computed="none",
)
SESSION_HOURS = Variable("KVADMIN_SESSION_HOURS", "1 to 720 hours", "How long a sign-in lasts.", parsers.between(1, 720), default="12")
ADMIN_USER = Variable(
    "KVADMIN_ADMIN_USER",
    "up to 150 letters, digits and @ . + - _",
    "Administrator made by the first start.",
    parsers.user_name,
    default="admin",
)
ADMIN_PASSWORD = Variable(
    "KVADMIN_ADMIN_PASSWORD",
    "text",
    "The administrator's first password; later starts leave the account alone.",
    parsers.text,
    computed="generated and printed once",
    secret=True,
)
CONFIRM_MINUTES = Variable(
    "KVADMIN_CONFIRM_MINUTES",
    "1 to 720 minutes",
    "So long after a sign-in or a confirmation bulk changes, secret values, tokens and accounts need no new confirmation.",
    parsers.between(1, 720),
    default="15",
)
READ_ONLY = Variable(
    "KVADMIN_READ_ONLY",
    "on or off",
    "kvadmin writes into no store, whatever the switch on the page Accounts says.",
    parsers.switch,
    default="off",
)
OIDC_URL = Variable(
    "KVADMIN_OIDC_URL",
    "an https URL of an OpenID Connect provider, such as https://mail.example.org",
    "Accounts of this provider may sign in; its discovery document is below `/.well-known/openid-configuration`.",
    parsers.provider_url,
    computed="none: accounts of kvadmin's own only",
)
OIDC_CLIENT_ID = Variable("KVADMIN_OIDC_CLIENT_ID", "text", "The client as it is registered there.", parsers.text, default="kvadmin")
OIDC_CLIENT_SECRET = Variable(
    "KVADMIN_OIDC_CLIENT_SECRET", "text", "Secret of that client.", parsers.text, computed="none: a public client with PKCE", secret=True
)
OIDC_NAME = Variable(
    "KVADMIN_OIDC_NAME", "text", "What the button of the sign-in page calls the provider.", parsers.text, default="single sign-on"
)
OIDC_ROLE_CLAIM = Variable(
    "KVADMIN_OIDC_ROLE_CLAIM", "name of a claim", "Claim of the provider that decides the role.", parsers.text, default="groups"
)
OIDC_ROLES = Variable(
    "KVADMIN_OIDC_ROLES",
    "VALUE=ROLE separated by commas; `*` for everybody; roles: viewer, operator, admin",
    "Role of each value of that claim, the highest counts, asked anew at each sign-in. Whoever gets none may not sign in.",
    parsers.role_map,
    computed="none: an administrator gives roles to the accounts by hand",
)
TIME_ZONE = Variable(
    "KVADMIN_TIME_ZONE",
    "IANA name such as Europe/Berlin",
    "Zone of the purge schedules; set it to the mail server's.",
    parsers.time_zone,
    computed="the system's",
)
LOG_LEVEL = Variable("KVADMIN_LOG_LEVEL", "debug, info, warning or error", "What is written to stderr.", parsers.log_level, default="info")
TRASH_DAYS = Variable(
    "KVADMIN_TRASH_DAYS", "1 to 365 days", "How long deleted and overwritten rows can be restored.", parsers.between(1, 365), default="7"
)
AUDIT_DAYS = Variable(
    "KVADMIN_AUDIT_DAYS",
    "0 to 36500 days",
    "How long entries of the audit are kept; 0: for ever. What is left can still be verified.",
    parsers.between(0, 36_500),
    default="400",
)
API_RATE = Variable(
    "KVADMIN_API_RATE",
    "1 to 1000000 requests",
    "What an API token may ask in a minute, over all processes.",
    parsers.between(1, 1_000_000),
    default="600",
)
METRICS_TOKEN = Variable(
    "KVADMIN_METRICS_TOKEN",
    "16 characters or more",
    "Bearer token that `/metrics` asks for.",
    parsers.token,
    computed="none: `/metrics` answers this machine only",
    secret=True,
)
TRASH_MB = Variable(
    "KVADMIN_TRASH_MB",
    "1 to 1000000 MB",
    "Size of the trash at which bulk runs stop keeping copies; each says beforehand how much of it can be undone.",
    parsers.between(1, 1_000_000),
    default="512",
)
EMAIL_URL = Variable(
    "KVADMIN_EMAIL_URL",
    "smtp://, smtp+starttls:// or smtps:// with USER:PASSWORD@HOST:PORT, user and port as needed",
    "Server that takes the mails of alerts.",
    parsers.email_url,
    computed="none: alerts go to webhooks only",
    secret=True,
)
EMAIL_FROM = Variable("KVADMIN_EMAIL_FROM", "an address", "Sender of the alerts.", parsers.email_address, default="kvadmin@localhost")
PUBLIC_URL = Variable(
    "KVADMIN_PUBLIC_URL",
    "an origin such as https://kvadmin.example.org",
    "Where the pages are reached; alerts link there.",
    parsers.origin,
    computed="none: alerts have no link",
)
UPLOAD_MB = Variable(
    "KVADMIN_UPLOAD_MB",
    "1 to 10000 MB",
    "The largest request that is read; imports of keys are what needs room.",
    parsers.between(1, 10_000),
    default="256",
)
STORE_NETWORKS = Variable(
    "KVADMIN_STORE_NETWORKS",
    "addresses or networks separated by commas",
    "Networks in which stores may be. Link-local addresses and the metadata services of clouds are never reached.",
    parsers.networks,
    computed="any",
)
STORE_NETWORKS_DENIED = Variable(
    "KVADMIN_STORE_NETWORKS_DENIED",
    "addresses or networks separated by commas",
    "Networks in which no store may be, also where KVADMIN_STORE_NETWORKS allows them.",
    parsers.networks,
    computed="none",
)
ALERT_PRIVATE_HOSTS = Variable(
    "KVADMIN_ALERT_PRIVATE_HOSTS",
    "on or off",
    "Webhooks of alerts may be in private networks and on this machine.",
    parsers.switch,
    default="off",
)
WEB_WORKERS = Variable("KVADMIN_WEB_WORKERS", "1 to 32", "Processes that serve pages.", parsers.between(1, 32), default="2")
WEB_THREADS = Variable("KVADMIN_WEB_THREADS", "1 to 64", "Threads of each of them.", parsers.between(1, 64), default="4")
TASK_WORKERS = Variable(
    "KVADMIN_TASK_WORKERS", "1 to 32", "Purges and other background runs that can go on at once.", parsers.between(1, 32), default="4"
)
RUN_WORKERS = Variable(
    "KVADMIN_RUN_WORKERS",
    "1 to 32",
    "How many of them may share one count or purge of a large store; a gentle purge is always done by one.",
    parsers.between(1, 32),
    computed="3, and one fewer than KVADMIN_TASK_WORKERS at most",
)
DEBUG = Variable(
    "KVADMIN_DEBUG", "on or off", "Error pages for developers. Never on a machine that others reach.", parsers.switch, default="off"
)

VARIABLES: tuple[Variable[Any], ...] = (
    DATA_DIR,
    HOST,
    PORT,
    ALLOWED_HOSTS,
    HTTPS,
    TRUSTED_PROXIES,
    TRUSTED_ORIGINS,
    ADMIN_USER,
    ADMIN_PASSWORD,
    SESSION_HOURS,
    CONFIRM_MINUTES,
    READ_ONLY,
    OIDC_URL,
    OIDC_CLIENT_ID,
    OIDC_CLIENT_SECRET,
    OIDC_NAME,
    OIDC_ROLE_CLAIM,
    OIDC_ROLES,
    TIME_ZONE,
    DATABASE_URL,
    BROKER_URL,
    BROKER_MASTER,
    BROKER_SENTINEL_PASSWORD,
    SECRET_KEY,
    FIELD_KEYS,
    TRASH_DAYS,
    TRASH_MB,
    AUDIT_DAYS,
    API_RATE,
    METRICS_TOKEN,
    EMAIL_URL,
    EMAIL_FROM,
    PUBLIC_URL,
    UPLOAD_MB,
    STORE_NETWORKS,
    STORE_NETWORKS_DENIED,
    ALERT_PRIVATE_HOSTS,
    WEB_WORKERS,
    WEB_THREADS,
    TASK_WORKERS,
    RUN_WORKERS,
    LOG_LEVEL,
    DEBUG,
)


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Environment:
    """All of it, checked: a field for each variable. Without a `repr`, so that no traceback shows a secret."""

    data_dir: Path
    secret_key: str
    field_keys: tuple[str, ...]
    database_url: str
    broker_url: str
    embedded_broker: bool
    broker_master: str
    broker_sentinel_password: str = ""
    allowed_hosts: tuple[str, ...]
    host: str
    port: int
    https: bool
    trusted_proxies: tuple[str, ...]
    trusted_origins: tuple[str, ...] = ()
    session_hours: int
    confirm_minutes: int
    read_only: bool
    oidc_url: str = ""
    oidc_client_id: str
    oidc_client_secret: str = ""
    oidc_name: str
    oidc_role_claim: str
    oidc_roles: tuple[tuple[str, str], ...] = ()
    admin_user: str
    admin_password: str = ""
    time_zone: str
    log_level: str
    trash_days: int
    trash_mb: int
    audit_days: int
    api_rate: int
    metrics_token: str = ""
    email_url: str = ""
    email_from: str
    public_url: str = ""
    upload_mb: int
    store_networks: tuple[str, ...] = ()
    store_networks_denied: tuple[str, ...] = ()
    alert_private_hosts: bool
    web_workers: int
    web_threads: int
    task_workers: int
    run_workers: int
    debug: bool

    @classmethod
    def read(cls, source: Mapping[str, str] = os.environ) -> Environment:
        """Read every variable; creates the data folder (0700) and its key files (0600) when they are missing.

        Raises BadEnvironment.
        """
        given = {variable.field: variable.read(source) for variable in VARIABLES}
        values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        values["allowed_hosts"] = given["allowed_hosts"] or parsers.own_hosts(values["host"])
        values["time_zone"] = given["time_zone"] or _system_zone()
        values["run_workers"] = given["run_workers"] or max(1, min(3, values["task_workers"] - 1))
        values["embedded_broker"] = not given["broker_url"]
        data_dir = values["data_dir"] = (given["data_dir"] or default_data_dir(source)).absolute()
        try:
            keyfiles.ensure_folder(data_dir)
            values["database_url"] = given["database_url"] or f"sqlite:///{data_dir / 'kvadmin.sqlite3'}"
            values["broker_url"] = given["broker_url"] or broker.url_of(broker.socket_path(data_dir, "broker"))
            values["secret_key"] = given["secret_key"] or SECRET_KEY.parse(keyfiles.secret_key(data_dir))
            values["field_keys"] = given["field_keys"] or FIELD_KEYS.parse(keyfiles.field_keys(data_dir))
        except (OSError, ValueError) as error:
            raise BadEnvironment(f"{DATA_DIR.name} {str(data_dir)!r} is refused: {error}. Accepted: {DATA_DIR.form}.") from None
        return cls(**values)


def default_data_dir(source: Mapping[str, str]) -> Path:
    """`data` in a checkout; the user's own data folder for an installed package."""
    if IN_CHECKOUT:
        return ROOT / "data"
    base = source.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "share") / "kvadmin"


def unknown_variables(source: Mapping[str, str]) -> list[str]:
    """Names that begin with KVADMIN_ and mean nothing: most likely misspelt."""
    known = {variable.name for variable in VARIABLES} | {f"{variable.name}_FILE" for variable in VARIABLES if variable.secret}
    return sorted(name for name in source if name.startswith("KVADMIN_") and not name.startswith("KVADMIN_TEST_") and name not in known)


def _system_zone() -> str:
    from tzlocal import get_localzone_name  # only needed when nothing is set

    try:
        return parsers.time_zone(get_localzone_name() or "UTC")
    except (LookupError, ValueError) as error:
        raise BadEnvironment(f"{TIME_ZONE.name} is needed: the system's zone is unclear ({error}). Accepted: {TIME_ZONE.form}.") from None
