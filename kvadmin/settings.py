"""Settings of the Django project, all from the environment (`KVADMIN_*`)."""

from __future__ import annotations

from pathlib import Path

from kvadmin.environment import Environment

ENV = Environment.read()

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = ENV.data_dir
SECRET_KEY = ENV.secret_key
KVADMIN_FIELD_KEYS = ENV.field_keys
DEBUG = ENV.debug
ALLOWED_HOSTS = ENV.allowed_hosts

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
    "stores",
]
