"""Settings of the Django project, all from the environment (`KVADMIN_*`, see `kvadmin/environment.py`)."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from csp.constants import NONE, SELF

from kvadmin import logs
from kvadmin.databases import database
from kvadmin.environment import IN_CHECKOUT, ROOT, BadEnvironment, Environment
from kvadmin.providers import provider_apps

try:
    ENV = Environment.read()
except BadEnvironment as error:
    sys.exit(f"kvadmin: {error}")

BASE_DIR = ROOT
SHARE_DIR = ROOT if IN_CHECKOUT else Path(__file__).resolve().parent / "share"
"""Where templates, static files and translations are: beside manage.py, inside the package when installed."""
DATA_DIR = ENV.data_dir

SECRET_KEY = ENV.secret_key
DEBUG = ENV.debug
ALLOWED_HOSTS = list(ENV.allowed_hosts)
KVADMIN_FIELD_KEYS = ENV.field_keys
KVADMIN_TRUSTED_PROXIES = ENV.trusted_proxies
KVADMIN_TRASH_DAYS = ENV.trash_days
KVADMIN_TRASH_MB = ENV.trash_mb
KVADMIN_AUDIT_DAYS = ENV.audit_days
KVADMIN_API_RATE = ENV.api_rate
KVADMIN_AUDIT_GUARDS = True
"""Triggers that keep the audit's rows as they are (`stores/models/guards.py`)."""
KVADMIN_METRICS_TOKEN = ENV.metrics_token
KVADMIN_UPLOAD_MB = ENV.upload_mb
KVADMIN_RUN_WORKERS = ENV.run_workers
KVADMIN_STORE_NETWORKS = ENV.store_networks
KVADMIN_STORE_NETWORKS_DENIED = ENV.store_networks_denied
KVADMIN_ALERT_PRIVATE_HOSTS = ENV.alert_private_hosts
KVADMIN_PUBLIC_URL = ENV.public_url

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_htmx",
    "template_partials",
    "django_celery_beat",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "allauth.usersessions",
    "stores",
    "kvadmin",
]
MIDDLEWARE = [
    "kvadmin.middleware.counted",
    "kvadmin.middleware.request_size",
    "kvadmin.middleware.forwarded_address",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "kvadmin.middleware.sight_of_user",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "kvadmin.middleware.response_headers",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "kvadmin.middleware.first_things_first",
]
ROOT_URLCONF = "kvadmin.urls"
WSGI_APPLICATION = "kvadmin.wsgi.application"
ASGI_APPLICATION = "kvadmin.asgi.application"
LOGIN_URL = "stores:sign-in"
LOGIN_REDIRECT_URL = "stores:overview"
LOGOUT_REDIRECT_URL = "stores:overview"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [SHARE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

try:
    DATABASES = {"default": database(ENV.database_url, DATA_DIR)}
except ValueError as error:
    sys.exit(f"kvadmin: KVADMIN_DATABASE_URL is refused: {logs.mask(str(error))}")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATICFILES_DIRS = [SHARE_DIR / "static"]
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_ALLOW_ALL_ORIGINS = False

# accounts and sessions
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_ADAPTER = "kvadmin.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_FORMS = {
    "login": "stores.forms.account.SignInForm",
    "change_password": "stores.forms.account.PasswordForm",
    "reauthenticate": "stores.forms.account.ConfirmForm",
}
MFA_FORMS = {
    "authenticate": "stores.forms.account.CodeForm",
    "reauthenticate": "stores.forms.account.ConfirmCodeForm",
    "activate_totp": "stores.forms.account.AppForm",
    "add_webauthn": "stores.forms.account.PasskeyForm",
    "login_webauthn": "stores.forms.account.PasskeySignInForm",
    "authenticate_webauthn": "stores.forms.account.PasskeyCodeForm",
    "reauthenticate_webauthn": "stores.forms.account.ConfirmPasskeyForm",
    "edit_webauthn": "stores.forms.account.PasskeyNameForm",
}
ACCOUNT_LOGIN_TIMEOUT = 600
ACCOUNT_REAUTHENTICATION_TIMEOUT = ENV.confirm_minutes * 60
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if ENV.https else "http"
MFA_ADAPTER = "kvadmin.adapters.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "kvadmin"
MFA_TOTP_TOLERANCE = 1
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not ENV.https
SOCIALACCOUNT_ADAPTER = "kvadmin.adapters.ProviderAdapter"
SOCIALACCOUNT_AUTO_SIGNUP = True
SOCIALACCOUNT_LOGIN_ON_GET = True
"""A form that leads to another server would need that server in the Content-Security-Policy; a link does not."""
SOCIALACCOUNT_STORE_TOKENS = False
KVADMIN_PROVIDERS: list[dict[str, Any]] = provider_apps(ENV)
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": KVADMIN_PROVIDERS}}
OPENID_CONNECT_URL_PREFIX = ""
KVADMIN_READ_ONLY = ENV.read_only
KVADMIN_OIDC_ROLE_CLAIM = ENV.oidc_role_claim
KVADMIN_OIDC_ROLES = ENV.oidc_roles
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "stores_sharedvalue",
        "TIMEOUT": 3600,
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    },
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "process"},
}
"""What counts sign-ins, codes and wrong tokens is shared by all processes; how a store answered a moment ago is not."""
SESSION_COOKIE_NAME = "kvadmin_session"
SESSION_COOKIE_AGE = ENV.session_hours * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = ENV.https
SESSION_SAVE_EVERY_REQUEST = False
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = ENV.https
CSRF_TRUSTED_ORIGINS = list(ENV.trusted_origins)

# headers; gunicorn takes the scheme from X-Forwarded-Proto of a trusted proxy, so no header is believed here
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = ENV.https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if ENV.https else 0
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
"""HSTS for subdomains and the browsers' preload list are not kvadmin's to decide for a mail domain."""
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

# languages and time
USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("fr", "Français"), ("es", "Español"), ("zh-hans", "简体中文")]
"""Each in its own words: whoever cannot read the present one has to find theirs."""
LOCALE_PATHS = [SHARE_DIR / "locale"]
LANGUAGE_COOKIE_NAME = "kv_language"
LANGUAGE_COOKIE_AGE = 31_536_000
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = ENV.https
USE_TZ = True
TIME_ZONE = ENV.time_zone

# mail, for alerts only
KVADMIN_EMAIL = bool(ENV.email_url)
"""Whether mail can be sent at all."""
_MAIL = urlsplit(ENV.email_url)
EMAIL_HOST = _MAIL.hostname or "localhost"
EMAIL_PORT = _MAIL.port or {"smtps": 465, "smtp+starttls": 587}.get(_MAIL.scheme, 25)
EMAIL_HOST_USER = unquote(_MAIL.username or "")
EMAIL_HOST_PASSWORD = unquote(_MAIL.password or "")
EMAIL_USE_SSL = _MAIL.scheme == "smtps"
EMAIL_USE_TLS = _MAIL.scheme == "smtp+starttls"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = ENV.email_from

# background work
CELERY_BROKER_URL = ENV.broker_url
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
    "visibility_timeout": int(timedelta(hours=12).total_seconds()),
    "queue_order_strategy": "priority",
    "socket_keepalive": True,
}
"""A run outlives its message: redelivery is the sweeper's task, so the time is long. Short tasks (`control`) go before runs."""
if ENV.broker_url.startswith("sentinel:"):
    CELERY_BROKER_TRANSPORT_OPTIONS["master_name"] = ENV.broker_master
    if ENV.broker_sentinel_password:
        CELERY_BROKER_TRANSPORT_OPTIONS["sentinel_kwargs"] = {"password": ENV.broker_sentinel_password}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5}
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_ROUTES = {"stores.tasks.run_*": {"queue": "runs"}}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "prefork"
CELERY_WORKER_CONCURRENCY = ENV.task_workers
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TIMEZONE = TIME_ZONE
CELERY_ENABLE_UTC = True
CELERY_BEAT_SCHEDULER = "kvadmin.scheduler:Scheduler"
CELERY_BEAT_SCHEDULE = {
    "sweep runs": {"task": "stores.tasks.sweep_runs", "schedule": timedelta(seconds=30), "options": {"expires": 60}},
    "heartbeat": {"task": "stores.tasks.heartbeat", "schedule": timedelta(seconds=20), "options": {"expires": 60}},
    "watch schedules": {"task": "stores.tasks.watch_schedules", "schedule": timedelta(minutes=1), "options": {"expires": 60}},
    "count stores": {"task": "stores.tasks.count_stores", "schedule": timedelta(minutes=1), "options": {"expires": 60}},
    "refresh lists": {"task": "stores.tasks.refresh_lists", "schedule": timedelta(minutes=1), "options": {"expires": 60}},
    "check alerts": {"task": "stores.tasks.check_alerts", "schedule": timedelta(minutes=1), "options": {"expires": 60}},
    "verify audit": {"task": "stores.tasks.verify_audit", "schedule": timedelta(hours=1), "options": {"expires": 1800}},
    "tidy": {"task": "stores.tasks.tidy", "schedule": timedelta(days=1), "options": {"expires": 3600}},
}
"""Schedules of the installation itself; the purge of each store is a row that `services/schedules.py` keeps in step."""

LOGGING = logs.config("debug" if DEBUG else ENV.log_level)
logs.remember_secrets(
    [SECRET_KEY, *KVADMIN_FIELD_KEYS, ENV.admin_password, ENV.oidc_client_secret, ENV.broker_sentinel_password, ENV.metrics_token]
)
logs.remember_secrets(
    unquote(urlsplit(part).password or "") for url in (ENV.database_url, ENV.broker_url, ENV.email_url) for part in url.split(";")
)
