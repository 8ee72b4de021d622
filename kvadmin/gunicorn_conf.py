"""gunicorn's configuration, whether `up`, `kvadmin web` or a unit file starts it."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from kvadmin import logs
from kvadmin.children import die_with_parent
from kvadmin.environment import Environment

_env = Environment.read()

worker_class = "gthread"
workers = _env.web_workers
threads = _env.web_threads
preload_app = True
"""The app is loaded once and shared by the workers: half the start, less memory. Nothing connects to anything while it loads."""
timeout = 60
graceful_timeout = 5
keepalive = 75
"""Longer than a proxy keeps an idle connection (60 s for nginx): whoever closes first decides whether a request meets a closed one."""
control_socket_disable = True
forwarded_allow_ips = ",".join(_env.trusted_proxies)
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108  (a heartbeat file, made with mkstemp)
proc_name = "kvadmin-web"
logconfig_dict = logs.config("debug" if _env.debug else _env.log_level)


def post_fork(server: Any, worker: Any) -> None:
    """A worker ends with gunicorn's main process, even when that is killed.

    Its threads take turns more often than Python's 5 ms: a page that asks its database 20 times would wait for the walk of another
    page 20 times as long.
    """
    die_with_parent(signal.SIGKILL, server.pid)
    sys.setswitchinterval(0.001)
