"""Settings of the test suite: a throw-away data folder, whatever the environment says; tasks run in place."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

for _name in [name for name in os.environ if name.startswith("KVADMIN_") and not name.startswith("KVADMIN_TEST_")]:
    del os.environ[_name]
_folder = os.environ["KVADMIN_DATA_DIR"] = tempfile.mkdtemp(prefix="kvadmin-test-")
os.environ["KVADMIN_TIME_ZONE"] = "UTC"
_owner = os.getpid()


def _remove_data_dir() -> None:
    if os.getpid() == _owner:
        shutil.rmtree(_folder, ignore_errors=True)


atexit.register(_remove_data_dir)

from kvadmin.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ALLOWED_HOSTS = ["*"]
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
KVADMIN_AUDIT_GUARDS = False
"""The tests empty tables; those of the guards install them."""
