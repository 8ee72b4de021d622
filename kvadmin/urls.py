"""The pages and the JSON API, both of the stores app."""

from django.urls import include, path

from stores.api import v1

urlpatterns = [path("api/v1/", v1.urls()), path("", include("kvadmin.account_urls")), path("", include("stores.urls"))]
handler500 = "kvadmin.failures.server_error"
handler429 = "stores.views.account.too_many"
"""For what allauth limits by itself."""
