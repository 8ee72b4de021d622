"""Accounts, their roles and grants, and the switches of the installation."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from stores.forms.base import StyledForm
from stores.models import Policy, Store
from stores.services.accounts import Info
from stores.services.rights import Role

ROLE_CHOICES = [
    ("viewer", _("Viewer: looks at everything, changes nothing")),
    ("operator", _("Operator: changes keys, purges")),
    ("admin", _("Administrator: everything, accounts too")),
    ("none", _("None: only what is granted for single stores")),
]
GRANT_CHOICES = [
    ("", _("as for all stores")),
    ("none", _("no access")),
    ("viewer", _("viewer")),
    ("operator", _("operator")),
    ("admin", _("administrator of the store")),
]


class AddUserForm(StyledForm):
    """A name and a role; the password is made up and shown once."""

    name = forms.CharField(label=_("Name"), max_length=150, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}))
    role = forms.ChoiceField(label=_("Role"), choices=ROLE_CHOICES)


class UserForm(StyledForm):
    """The role of an account, and what single stores add or take away."""

    role = forms.ChoiceField(label=_("Role for all stores"), choices=ROLE_CHOICES)

    def __init__(self, *args: Any, info: Info, **kwargs: Any) -> None:
        super().__init__(*args, initial={"role": info.role.value}, **kwargs)
        self.store_ids = list(Store.objects.values_list("pk", flat=True))
        for number, store_id in enumerate(self.store_ids):
            field = forms.ChoiceField(label=store_id, choices=GRANT_CHOICES, required=False, initial=info.grants.get(store_id, ""))
            field.widget.attrs["class"] = "form-select"
            self.fields[f"store-{number}"] = field

    def grants(self) -> dict[str, Role | None]:
        """Store ids and the chosen role, None for the one for all stores."""
        chosen = {store_id: self.cleaned_data[f"store-{number}"] for number, store_id in enumerate(self.store_ids)}
        return {store_id: Role(role) if role else None for store_id, role in chosen.items()}

    def store_fields(self) -> list[forms.BoundField]:
        """The fields of the grants, by store."""
        return [self[f"store-{number}"] for number in range(len(self.store_ids))]


class SwitchesForm(StyledForm):
    """Read only for all stores, and who needs a second factor."""

    read_only = forms.BooleanField(label=_("Read only: kvadmin writes into no store, scheduled purges included"), required=False)
    second_factor_from = forms.ChoiceField(
        label=_("A second factor is needed by"),
        required=False,
        choices=[
            ("", _("nobody")),
            ("admin", _("administrators")),
            ("operator", _("operators and administrators")),
            ("viewer", _("everybody with a role")),
        ],
        help_text=_("Asked for at the next sign-in with a password. Accounts of a provider have theirs there."),
    )

    def __init__(self, *args: Any, policy: Policy, **kwargs: Any) -> None:
        initial = {"read_only": policy.read_only, "second_factor_from": policy.second_factor_from}
        super().__init__(*args, initial=initial, **kwargs)
