"""WSGI entry for gunicorn and others: `kvadmin.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kvadmin.settings")

application = get_wsgi_application()
