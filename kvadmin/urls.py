"""All URLs are the stores app's."""

from django.urls import include, path

urlpatterns = [path("", include("stores.urls"))]
