"""The OpenID Connect provider of the environment, as allauth wants it."""

from __future__ import annotations

from typing import Any, Final

from kvadmin.environment import Environment

PROVIDER_ID: Final = "oidc"
"""Part of the callback's address, which is registered with the provider: it never changes."""


def provider_apps(env: Environment) -> list[dict[str, Any]]:
    """None or one; the secret stays in the settings and is never in the database."""
    if not env.oidc_url:
        return []
    settings = {"server_url": env.oidc_url, "fetch_userinfo": True}
    return [
        {
            "provider_id": PROVIDER_ID,
            "name": env.oidc_name,
            "client_id": env.oidc_client_id,
            "secret": env.oidc_client_secret,
            "settings": settings,
        }
    ]
