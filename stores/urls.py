"""Routes of the pages. Keys stand in addresses as tokens (`services/keytokens.py`)."""

from __future__ import annotations

from typing import Any

from django.urls import path, register_converter

from stores.errors import BadConfig
from stores.services.keytokens import key_of, token_of
from stores.views import (
    account,
    act,
    alerts,
    audit,
    bulk,
    bulk_run,
    confirm,
    console,
    create_tables,
    errands,
    find,
    growth,
    help,
    import_server,
    importer,
    key,
    keyfile,
    keys,
    limited,
    mailserver,
    overview,
    probes,
    publish,
    purge,
    runs,
    settings,
    spam,
    store,
    tables,
    tidy,
    tokens,
    tour,
    trash,
    users,
)

app_name = "stores"


class KeyConverter:
    """A key as unpadded base64url, `-` for the empty key, sealed where the key is a secret."""

    regex = r"~?[A-Za-z0-9_-]+"

    def to_python(self, value: str) -> bytes:
        """Raises ValueError for what is no token, which is a 404."""
        try:
            return key_of(value)
        except BadConfig as error:
            raise ValueError(error.message) from None

    def to_url(self, value: Any) -> str:
        return token_of(value)


register_converter(KeyConverter, "key")

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
    path("metrics", probes.metrics, name="metrics"),
    path("publish/<str:token>/", publish.published, name="published"),
    path("sign-in/", account.sign_in, name="sign-in"),
    path("sign-out/", account.sign_out, name="sign-out"),
    path("account/", account.account, name="account"),
    path("account/sessions/<int:session_id>/end/", account.session_end, name="session-end"),
    path("account/confirm/elsewhere/", confirm.elsewhere, name="confirm-elsewhere"),
    path("theme/", account.theme, name="theme"),
    path("language/", account.language, name="language"),
    path("tour/", tour.tour, name="tour"),
    path("count/", overview.count_all, name="count-all"),
    path("find/", find.find, name="find"),
    path("3am/", help.help_page, name="help"),
    path("limited/", limited.limited, name="limited"),
    path("act/", act.act, name="act"),
    path("trash/", trash.trash, name="trash"),
    path("trash/restore/", trash.trash_restore, name="trash-restore"),
    path("runs/", runs.runs, name="runs"),
    path("runs/<uuid:run_id>/", runs.run, name="run"),
    path("runs/<uuid:run_id>/receipt/", bulk_run.run_receipt, name="run-receipt"),
    path("runs/<uuid:run_id>/log/", runs.run_log, name="run-log"),
    path("runs/<uuid:run_id>/undo/", bulk_run.run_undo, name="run-undo"),
    path("runs/<uuid:run_id>/<slug:act>/", runs.run_act, name="run-act"),
    path("lookups/", console.lookups, name="lookups"),
    path("audit/", audit.audit, name="audit"),
    path("audit/export/", audit.audit_export, name="audit-export"),
    path("audit/check/", audit.audit_check, name="audit-check"),
    path("settings/", settings.settings, name="settings"),
    path("alerts/", alerts.alerts, name="alerts"),
    path("alerts/add/", alerts.alert, name="alert-add"),
    path("alerts/<int:rule_id>/", alerts.alert, name="alert"),
    path("alerts/<int:rule_id>/<slug:act>/", alerts.alert_act, name="alert-act"),
    path("settings/mail-server/", mailserver.mail_server, name="mail-server"),
    path("settings/users/", users.users, name="users"),
    path("settings/users/<int:user_id>/", users.user, name="user"),
    path("settings/users/<int:user_id>/<slug:act>/", users.user_act, name="user-act"),
    path("settings/switches/", users.switches_save, name="switches"),
    path("settings/tokens/", tokens.tokens, name="tokens"),
    path("settings/tokens/<int:token_id>/revoke/", tokens.token_revoke, name="token-revoke"),
    path("errands/<uuid:errand_id>/", errands.errand, name="errand"),
    path("import/", importer.upload, name="import"),
    path("import/server/", import_server.ask, name="import-server"),
    path("import/asked/<uuid:errand_id>/", import_server.asked, name="import-asked"),
    path("import/settings/", import_server.settings, name="import-settings"),
    path("import/preview/", importer.preview, name="import-preview"),
    path("import/preview/<str:store_id>/", importer.tried, name="import-tried"),
    path("stores/add/", settings.store_add, name="store-add"),
    path("stores/add/<slug:type_name>/", settings.store_add_type, name="store-add-type"),
    path("stores/<str:store_id>/", store.store, name="store"),
    path("stores/<str:store_id>/count/", store.count, name="count"),
    path("stores/<str:store_id>/count/every/", growth.every, name="count-every"),
    path("stores/<str:store_id>/growth/", growth.growth, name="growth"),
    path("stores/<str:store_id>/compare/", growth.compare, name="compare"),
    path("stores/<str:store_id>/checks/", store.checks, name="checks"),
    path("stores/<str:store_id>/create-tables/", create_tables.create_tables, name="create-tables"),
    path("stores/<str:store_id>/publish/", publish.publish, name="publish"),
    path("stores/<str:store_id>/publish/<int:publication_id>/revoke/", publish.revoke, name="unpublish"),
    path("stores/<str:store_id>/toml/", publish.toml, name="static-toml"),
    path("stores/<str:store_id>/fetch/", tables.fetch, name="fetch"),
    path("stores/<str:store_id>/keys/", keys.keys, name="keys"),
    path("stores/<str:store_id>/keys/new/", key.key_new, name="key-new"),
    path("stores/<str:store_id>/keys/import/", keyfile.keys_import, name="keys-import"),
    path("stores/<str:store_id>/keys/import/start/", keyfile.keys_import_start, name="keys-import-start"),
    path("stores/<str:store_id>/keys/delete/", bulk.keys_delete, name="keys-delete"),
    path("stores/<str:store_id>/bulk/", bulk_run.bulk_page, name="bulk"),
    path("stores/<str:store_id>/bulk/start/", bulk_run.bulk_start, name="bulk-start"),
    path("stores/<str:store_id>/bulk/export/", bulk_run.bulk_export, name="bulk-export"),
    path("stores/<str:store_id>/spam/", spam.spam, name="spam"),
    path("stores/<str:store_id>/leftovers/", spam.leftovers, name="leftovers"),
    path("stores/<str:store_id>/remove/<slug:kind>/<str:what>/", spam.remove_set, name="remove-set"),
    path("stores/<str:store_id>/key/<key:key>/", key.key, name="key"),
    path("stores/<str:store_id>/key/<key:key>/raw/", key.key_raw, name="key-raw"),
    path("stores/<str:store_id>/key/<key:key>/owner/", key.key_owner, name="key-owner"),
    path("stores/<str:store_id>/key/<key:key>/reveal/", key.key_reveal, name="key-reveal"),
    path("stores/<str:store_id>/key/<key:key>/value/", key.key_value, name="key-value"),
    path("stores/<str:store_id>/key/<key:key>/counter/", key.key_counter, name="key-counter"),
    path("stores/<str:store_id>/key/<key:key>/expiry/", key.key_expiry, name="key-expiry"),
    path("stores/<str:store_id>/key/<key:key>/delete/", key.key_delete, name="key-delete"),
    path("stores/<str:store_id>/purge/", purge.purge, name="purge"),
    path("stores/<str:store_id>/purge/start/", purge.purge_start, name="purge-start"),
    path("stores/<str:store_id>/tidy/", tidy.tidy, name="tidy"),
    path("stores/<str:store_id>/tidy/start/", tidy.tidy_start, name="tidy-start"),
    path("stores/<str:store_id>/schedule/", purge.schedule, name="schedule"),
    path("stores/<str:store_id>/settings/", settings.store_settings, name="store-settings"),
    path("stores/<str:store_id>/default/", settings.store_default, name="store-default"),
    path("stores/<str:store_id>/delete/", settings.store_delete, name="store-delete"),
]
