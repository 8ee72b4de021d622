"""Everything the pages can do, the API can do: each route of the pages beside those of the API, or why there is none."""

from __future__ import annotations

from stores.api.describe import routes
from stores.api.v1 import schema
from stores.urls import urlpatterns

S = "/stores/{store_id}"
K = f"{S}/keys/{{key}}"
ROUTES: dict[str, tuple[str, ...]] = {
    "overview": ("GET /overview",),
    "count-all": (f"POST {S}/census",),
    "find": ("GET /find",),
    "help": ("GET /verdict", "POST /acts", "POST /mail-server/lift"),
    "limited": ("GET /limited",),
    "act": ("POST /acts/plan", "POST /acts", "POST /acts/undo"),
    "trash": ("GET /trash",),
    "trash-restore": ("POST /trash/restore", "POST /trash/{trash_id}/restore"),
    "runs": ("GET /runs",),
    "run": ("GET /runs/{run_id}",),
    "run-receipt": ("GET /runs/{run_id}/receipt",),
    "run-log": ("GET /runs/{run_id}/log",),
    "run-undo": ("POST /runs/{run_id}/undo",),
    "run-act": ("POST /runs/{run_id}/{act}", "POST /runs/{run_id}/pace"),
    "lookups": ("POST /lookups", "POST /lookups/evaluate", "POST /lookups/setting", "POST /lookups/sieve"),
    "audit": ("GET /audit",),
    "audit-export": ("GET /audit/export",),
    "audit-check": ("POST /audit/check", "GET /audit/check"),
    "settings": ("GET /stores", "GET /configuration"),
    "alerts": ("GET /alerts",),
    "alert-add": ("POST /alerts",),
    "alert": ("GET /alerts/{rule_id}", "PUT /alerts/{rule_id}"),
    "alert-act": ("POST /alerts/{rule_id}/mute", "POST /alerts/{rule_id}/test", "DELETE /alerts/{rule_id}"),
    "mail-server": ("GET /mail-server", "PUT /mail-server", "DELETE /mail-server", "POST /mail-server/maintenance"),
    "tokens": ("GET /tokens",),
    "token-revoke": ("POST /tokens/{token_id}/revoke",),
    "import": ("POST /configuration/plan",),
    "import-preview": ("POST /configuration/plan", "POST /configuration/import"),
    "import-tried": ("POST /store-types/test",),
    "store-add": ("GET /store-types",),
    "store-add-type": ("POST /stores", "POST /store-types/test"),
    "store": (f"GET {S}", f"GET {S}/census", f"GET {S}/health", f"GET {S}/snippets", f"GET {S}/answer", f"GET {S}/list"),
    "count": (f"POST {S}/census",),
    "count-every": (f"PUT {S}/census/interval", f"GET {S}/census/interval"),
    "growth": (f"GET {S}/growth",),
    "compare": (f"GET {S}/counts", f"GET {S}/diff"),
    "checks": (f"POST {S}/test",),
    "create-tables": (f"GET {S}/tables", f"POST {S}/tables"),
    "publish": (f"GET {S}/publications", f"POST {S}/publications"),
    "unpublish": (f"DELETE {S}/publications/{{publication_id}}",),
    "static-toml": (f"GET {S}/toml",),
    "fetch": (f"POST {S}/list",),
    "keys": (f"GET {S}/keys",),
    "key-new": (f"PUT {K}", f"PUT {K}/counter", f"POST {S}/build-key"),
    "keys-delete": (f"POST {S}/delete-keys",),
    "bulk": (f"POST {S}/bulk/preview",),
    "bulk-start": (f"POST {S}/bulk",),
    "bulk-export": (f"GET {S}/export",),
    "keys-import": (f"POST {S}/import/preview",),
    "keys-import-start": (f"POST {S}/import",),
    "spam": (f"GET {S}/spam/{{part}}", f"GET {S}/spam/bayes"),
    "leftovers": (f"GET {S}/leftovers",),
    "remove-set": (f"POST {S}/sets/preview", f"POST {S}/bulk"),
    "key": (f"GET {K}", f"GET {K}/snippets"),
    "key-raw": (f"GET {K}",),
    "key-owner": (f"GET {K}/owner",),
    "key-reveal": (f"POST {K}/reveal",),
    "key-value": (f"PUT {K}",),
    "key-counter": (f"PUT {K}/counter", f"POST {K}/increment"),
    "key-expiry": (f"PATCH {K}",),
    "key-delete": (f"DELETE {K}",),
    "purge": (f"GET {S}/purge",),
    "purge-start": (f"POST {S}/purge",),
    "tidy": (f"GET {S}/tidy",),
    "tidy-start": (f"POST {S}/tidy",),
    "schedule": (f"PUT {S}/schedule", f"GET {S}/schedule"),
    "store-settings": (f"GET {S}", f"PATCH {S}", f"GET {S}/entries"),
    "store-default": (f"POST {S}/default",),
    "store-delete": (f"DELETE {S}",),
}
NONE: dict[str, str] = {
    **dict.fromkeys(("healthz", "readyz", "metrics", "published"), "for machines already"),
    **dict.fromkeys(("sign-in", "sign-out", "account", "session-end", "confirm-elsewhere", "users", "user", "user-act", "switches"),
                    "accounts and sign-ins are for people: a token gives no power over them"),
    **dict.fromkeys(("theme", "language", "tour"), "how pages look to one person"),
    **dict.fromkeys(("import-server", "import-asked", "import-settings", "errand"),
                    "asking a server for its settings: give the text to POST /configuration/plan"),
}  # fmt: skip
"""Pages that have no route of the API, and why."""


def test_every_page_has_its_routes_or_a_reason() -> None:
    names = {pattern.name for pattern in urlpatterns}
    assert names - ROUTES.keys() - NONE.keys() == set(), "say which routes of the API do what the page does"
    assert (ROUTES.keys() | NONE.keys()) - names <= {"keys-import", "keys-import-start"}
    known = {f"{route.method} {route.path}" for route in routes(schema())}
    assert {each for wanted in ROUTES.values() for each in wanted} <= known
