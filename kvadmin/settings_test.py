"""Settings of the test suite: a throw-away data folder, tasks run in place."""

from __future__ import annotations

import os
import tempfile

os.environ.setdefault("KVADMIN_DATA_DIR", tempfile.mkdtemp(prefix="kvadmin-test-"))

from kvadmin.settings import *

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_TASK_ALWAYS_EAGER = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
