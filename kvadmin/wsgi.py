"""WSGI entry for gunicorn and others: `kvadmin.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvadmin.settings")

application = get_wsgi_application()
get_resolver().url_patterns  # noqa: B018  (imports the pages before the workers fork, so that they share the memory)
