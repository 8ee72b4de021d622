"""`screenshots`: the pictures of the README, taken of the real thing, so that they never lie."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from kvadmin import broker

CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--font-render-hinting=none",
)  # fmt: skip
LONGEST_START = 120.0
SETTLE_MS = 1500
FIRST_KEY = "table.kv-keys tbody a.kv-subject"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: what to open, what to do first (a selector to click, or a selector and what to type), how wide, in which light."""

    name: str
    path: str
    steps: tuple[str | tuple[str, str], ...] = ()
    width: int = 1440
    height: int = 900
    scheme: str = "light"


SHOTS = (
    Shot("overview", "/"),
    Shot("store", "/stores/memstore/"),
    Shot("keys", "/stores/memstore/keys/?class=rate-auth"),
    Shot("keys-redis-dark", "/stores/redis/keys/?class=greylist", scheme="dark"),
    Shot("purge", "/stores/memstore/purge/"),
    Shot("key", "/stores/memstore/keys/?class=rate-auth&expiry=live", (FIRST_KEY,)),
    Shot(
        "edited",
        "/stores/memstore/keys/?class=greylist",
        (FIRST_KEY, ".kv-how label:has([value=in])", ("[name=span]", "2 days"), ".kv-how button"),
    ),
    Shot("purged", "/stores/memstore/purge/", ("form[action$='/purge/start/'] button.btn-primary",)),
    Shot("emergency-phone", "/3am/?q=203.0.113.21", width=360, height=780),
    Shot("overview-phone-dark", "/", width=360, height=780, scheme="dark"),
)


class Command(BaseCommand):
    help = "Take the README's pictures: start everything in a folder of its own, serve captured stores, open the pages in Chromium."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sqlite", type=Path, required=True, help="a SQLite data store to show as memstore (copied)")
        parser.add_argument("--redis-dump", type=Path, required=True, help="an RDB file to serve and show as redis (copied)")
        parser.add_argument("--chromium", default="/usr/bin/chromium")
        parser.add_argument("--into", type=Path, default=Path(settings.BASE_DIR) / "docs" / "screenshots")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("sqlite", "redis_dump"):
            if not options[name].is_file():
                raise CommandError(f"--{name.replace('_', '-')}: there is no file {options[name]}.")
        folder = Path(tempfile.mkdtemp(prefix="kvadmin-shots-"))
        try:
            with _redis(options["redis_dump"], folder / "redis") as url, _up(folder / "data") as (base, password):
                shutil.copy(options["sqlite"], folder / "memstore.db")
                _define(folder / "data", "memstore", "sqlite", {"path": str(folder / "memstore.db")}, "--default")
                _define(folder / "data", "redis", "redis", {"urls": url})
                for store in ("memstore", "redis", "embedded"):
                    _manage(folder / "data", "census", store)
                options["into"].mkdir(parents=True, exist_ok=True)
                self._take(base, password, options["chromium"], options["into"])
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _take(self, base: str, password: str, chromium: str, into: Path) -> None:
        try:
            from playwright.sync_api import sync_playwright
        except ModuleNotFoundError:
            raise CommandError("This needs the development environment: run `manage.py test --collect-only` once.") from None
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=chromium, args=list(CHROMIUM))
            for shot in SHOTS:
                viewport: Any = {"width": shot.width, "height": shot.height}
                scheme: Any = shot.scheme
                page = browser.new_context(viewport=viewport, color_scheme=scheme, locale="en-GB").new_page()
                page.goto(f"{base}/sign-in/")
                page.fill("[name=username]", "admin")
                page.fill("[name=password]", password)
                page.click("main button[type=submit]")
                page.wait_for_load_state("networkidle")
                if (skip := page.locator(".kv-tour button[value='0']")).count():
                    skip.click()
                page.goto(base + shot.path, wait_until="networkidle")
                for step in shot.steps:
                    if isinstance(step, str):
                        page.click(step)
                    else:
                        page.fill(*step)
                    page.wait_for_timeout(SETTLE_MS)
                    page.wait_for_load_state("networkidle")
                page.screenshot(path=into / f"{shot.name}.png")
                page.context.close()
                self.stdout.write(f"{shot.name}.png")
            browser.close()


def _environment(data_dir: Path, **extra: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KVADMIN_", "DJANGO_"))}
    return {**kept, "KVADMIN_DATA_DIR": str(data_dir), "KVADMIN_TIME_ZONE": "Europe/Berlin", **extra}


def _manage(data_dir: Path, *arguments: str) -> None:
    command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *arguments]
    done = subprocess.run(command, env=_environment(data_dir), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise CommandError(f"{' '.join(arguments[:2])} failed: {done.stderr.strip()}")


def _define(data_dir: Path, store_id: str, kind: str, values: Mapping[str, str], *more: str) -> None:
    sets = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    _manage(data_dir, "store-add", store_id, "--type", kind, "--version", "0.11", *sets, *more)


@contextmanager
def _up(data_dir: Path) -> Iterator[tuple[str, str]]:
    """Everything, in a folder of its own on a free port; ended by pid."""
    password = secrets.token_urlsafe(16)
    command = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "up", "--port", "0"]
    log = data_dir.with_name("up.log")
    with log.open("w") as out:
        process = subprocess.Popen(command, env=_environment(data_dir, KVADMIN_ADMIN_PASSWORD=password), stdout=out, stderr=out)  # noqa: S603
    try:
        yield _ready(process, log), password
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    end = time.monotonic() + LONGEST_START
    while time.monotonic() < end and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("READY "):
                return line.removeprefix("READY ").strip().rstrip("/")
        time.sleep(0.2)
    raise CommandError(f"up did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def _redis(dump: Path, folder: Path) -> Iterator[str]:
    """A server that holds the dump, on a Unix socket in its own folder; ended by pid."""
    server = broker.binary()
    if server is None:
        raise CommandError("There is no Valkey or Redis server here.")
    folder.mkdir(parents=True)
    shutil.copy(dump, folder / "dump.rdb")
    path = folder / "s"
    command = [str(server), "--port", "0", "--unixsocket", str(path), "--dir", str(folder), "--save", "", "--daemonize", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        end = time.monotonic() + LONGEST_START
        while not broker.answers(path):
            if process.poll() is not None or time.monotonic() > end:
                raise CommandError("The Redis server did not start with this dump.")
            time.sleep(0.1)
        yield f"redis+unix://{path}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
