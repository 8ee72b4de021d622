from functools import partial
from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from stores.texts import TRANSLATOR


class StoresConfig(AppConfig):
    name = "stores"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Translate the texts of pure modules; guard the audit's table around migrations; put sign-ins into the audit."""
        TRANSLATOR.lookup = lambda one, many, number: ngettext(one, many, number) if many else gettext(one)
        TRANSLATOR.figure = partial(number_format, use_l10n=True, force_grouping=True)
        guards = import_module("stores.models.guards")
        pre_migrate.connect(guards.remove, sender=self, dispatch_uid="audit guards")
        post_migrate.connect(guards.install, sender=self, dispatch_uid="audit guards")
        import_module("stores.services.signins").connect()
        import_module("stores.hostrules").guard_sockets()
        import_module("stores.services.account_events").connect()
