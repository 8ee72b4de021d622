"""Every form of the pages with invented input: none raises, each says at which field it is wrong, and none writes markup into a page.

A form that is not in the table below fails the test. The bodies of the API are invented from its description in `tests/api`.
"""

from __future__ import annotations

import gzip
import importlib
import inspect
import io
import json
import pkgutil
import time
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, cast

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from cryptography.hazmat.primitives.asymmetric import ec
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.test import Client
from django.utils.datastructures import MultiValueDict
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stores.forms
from benchmarks.requests_words import NASTY
from stores.errors import StoreError
from stores.forms import account, alerts, base, bulk, console, edit, importer, keyfile, keys, lists, mailserver, purge, tokens, users
from stores.forms import stores as definitions
from stores.models import AlertRule, MailServer, Policy, Store
from stores.registry import BACKENDS, HIDDEN
from stores.services import tokens as token_service
from stores.services.accounts import Info
from stores.services.actor import Actor
from stores.services.importer import plan
from stores.services.rights import Role
from tests.accounts import make, sign_in
from tests.services.conftest import new_memory

pytestmark = pytest.mark.django_db

ODD = (
    *(text for text in NASTY if text != "\ud800"),
    "<script>alert(1)</script>" * 50,
    "x" * 100_000,
    "9" * 5000,
    "\u2067\u0000\x85\u2028",
    "1e400",
)
"""Markup, control characters, marks of direction, huge texts, numbers beyond everything. Lone surrogates cannot come out of a request."""


@dataclass(frozen=True, slots=True)
class World:
    store: Store
    info: Info
    server: MailServer


Data = QueryDict
Files = MultiValueDict[str, Any]
Make = Callable[[World, Data, Files], Any]


def plain(form: Callable[..., Any], **named: Any) -> Make:
    return lambda world, data, files: form(data, **named)


def with_files(form: Callable[..., Any]) -> Make:
    return lambda world, data, files: form(data, files)


def alert(world: World, data: Data, files: Files) -> Any:
    return alerts.AlertForm(data, rule=None)


EDITORS = ("reputation", "reputation-sieve", "greylist", "trusted-reply", "counter", "bayes-weights", "sieve-value")
FORMS: Mapping[type[forms.BaseForm], list[Make]] = {
    account.ThemeForm: [plain(account.ThemeForm)],
    account.LanguageForm: [plain(account.LanguageForm)],
    alerts.AlertForm: [alert, lambda world, data, files: alerts.AlertForm(data, rule=AlertRule(kind="down", store=world.store))],
    bulk.BulkForm: [lambda world, data, files: bulk.BulkForm(data, world.store)],
    bulk.ConfirmForm: [plain(bulk.ConfirmForm)],
    console.ConsoleForm: [plain(console.ConsoleForm, context="rcpt", language=language) for language in ("expression", "sieve")],
    edit.SeenForm: [plain(edit.SeenForm)],
    edit.ValueForm: [with_files(edit.ValueForm)],
    edit.DecodedForm: [plain(edit.DecodedForm, editable=name, version="0.11") for name in EDITORS],
    edit.CounterForm: [plain(edit.CounterForm)],
    edit.ExpiryFields: [plain(edit.ExpiryFields)],
    edit.ExpiryForm: [plain(edit.ExpiryForm)],
    edit.NewKeyForm: [plain(edit.NewKeyForm)],
    edit.DeleteForm: [plain(edit.DeleteForm)],
    importer.UploadForm: [with_files(importer.UploadForm)],
    importer.ServerForm: [plain(importer.ServerForm)],
    importer.SettingsForm: [plain(importer.SettingsForm)],
    importer.ApplyForm: [plain(importer.ApplyForm)],
    keyfile.UploadForm: [with_files(keyfile.UploadForm)],
    keys.KeyFilterForm: [plain(keys.KeyFilterForm)],
    keys.PickForm: [plain(keys.PickForm)],
    lists.StoreChoiceForm: [plain(lists.StoreChoiceForm)],
    lists.RunFilterForm: [plain(lists.RunFilterForm)],
    lists.TrashFilterForm: [plain(lists.TrashFilterForm)],
    lists.AuditFilterForm: [plain(lists.AuditFilterForm)],
    lists.RestoreForm: [plain(lists.RestoreForm)],
    mailserver.MailServerForm: [plain(mailserver.MailServerForm)],
    mailserver.MaintainForm: [lambda world, data, files: mailserver.MaintainForm(world.server, data)],
    purge.PaceForm: [plain(purge.PaceForm)],
    purge.ScheduleForm: [plain(purge.ScheduleForm)],
    definitions.StoreForm: [
        *(plain(definitions.StoreForm, type_name=name) for name in BACKENDS if name not in HIDDEN),
        lambda world, data, files: definitions.StoreForm(data, type_name=world.store.type, store=world.store),
    ],
    definitions.DeleteStoreForm: [plain(definitions.DeleteStoreForm, others=("one", "two"))],
    tokens.TokenForm: [plain(tokens.TokenForm)],
    users.AddUserForm: [plain(users.AddUserForm)],
    users.UserForm: [lambda world, data, files: users.UserForm(data, info=world.info)],
    users.SwitchesForm: [lambda world, data, files: users.SwitchesForm(data, policy=Policy())],
}
"""Each form, made as its page makes it."""
AT_THE_DOOR: Mapping[type[forms.BaseForm], tuple[str, ...]] = {
    account.SignInForm: ("/sign-in/", "username", "password", "remember"),
    account.CodeForm: ("/sign-in/code/", "code"),
    account.PasswordForm: ("/account/password/", "oldpassword", "password1", "password2"),
    account.ConfirmForm: ("/account/confirm/", "password"),
    account.ConfirmCodeForm: ("/account/confirm/code/", "code"),
    account.AppForm: ("/account/second-factor/app/", "code"),
    account.PasskeyForm: ("/account/passkeys/add/", "name", "credential", "passwordless"),
    account.PasskeySignInForm: ("/sign-in/passkey/", "credential"),
    account.PasskeyCodeForm: ("/sign-in/code/", "credential"),
    account.ConfirmPasskeyForm: ("/account/confirm/passkey/", "credential"),
    account.PasskeyNameForm: ("/account/passkeys/1/name/", "name"),
}
"""Those that need the session of their page: its address, and what it sends."""


def every_form() -> Iterator[type[forms.BaseForm]]:
    for module in pkgutil.walk_packages(stores.forms.__path__, "stores.forms."):
        for found in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(found) and issubclass(found, forms.BaseForm) and found.__module__ == module.name:
                yield found


def test_every_form_is_tried() -> None:
    missing = set(every_form()) - set(FORMS) - set(AT_THE_DOOR) - {base.StyledForm}
    assert not missing, f"add to the table: {sorted(form.__name__ for form in missing)}"


def texts() -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers().map(str))


def credentials() -> st.SearchStrategy[str]:
    """What the browser's part of a passkey might answer, and what it never would."""
    bits = st.one_of(st.binary(max_size=120).map(lambda data: urlsafe_b64encode(data).decode().rstrip("=")), st.sampled_from(ODD[:40]))
    names = ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle")
    anything = st.recursive(st.one_of(st.none(), st.integers(), bits), lambda inner: st.lists(inner, max_size=2), max_leaves=3)
    response = st.dictionaries(st.sampled_from(names), st.one_of(bits, anything), max_size=5)
    whole = {"id": bits, "rawId": bits, "type": st.just("public-key"), "response": st.one_of(response, anything)}
    made = st.fixed_dictionaries({}, optional=whole | {"clientExtensionResults": anything}).map(json.dumps)
    return st.one_of(made, texts(), st.sampled_from(("9" * 5000, "[" * 60_000, '{"id":' * 20_000, "1", '"x"', "[]", "null")))


def values_of(field: forms.Field) -> st.SearchStrategy[Any]:
    """What somebody might send for a field: mostly what it offers, where it offers something."""
    if isinstance(field, forms.ChoiceField):
        choices: Any = field.choices
        offered = [str(value) for value, _ in choices if not isinstance(_, list | tuple)]
        return st.one_of(st.sampled_from(offered), texts()) if offered else texts()
    if isinstance(field, forms.BooleanField):
        return st.one_of(st.just("on"), texts())
    return texts()


def inputs(form: forms.BaseForm) -> st.SearchStrategy[tuple[dict[str, list[str]], dict[str, tuple[str, bytes]]]]:
    """Texts by the names that the page uses, each left out, once or twice; and files."""
    fields = {form.add_prefix(name): field for name, field in form.fields.items()}
    sent = {name: st.lists(values_of(field), min_size=1, max_size=2) for name, field in fields.items()}
    files = {name: st.tuples(texts(), st.binary(max_size=200)) for name, field in fields.items() if isinstance(field, forms.FileField)}
    extra = st.dictionaries(st.sampled_from(("pick", "stores", "confirmed", "\0", "etag")), st.lists(texts(), max_size=2), max_size=2)
    data = st.builds(lambda more, known: more | known, extra, st.fixed_dictionaries({}, optional=sent))
    return st.tuples(data, st.fixed_dictionaries({}, optional=files))


@pytest.fixture
def world() -> World:
    user = make("ana", "admin")
    info = Info(user, Role.VIEWER, {}, True, None, 0, False, False, True)
    return World(new_memory("mem"), info, MailServer(url="https://mail.example.org", version="0.11"))


def uploaded(name: str, content: bytes) -> SimpleUploadedFile:
    """A file as a request brings it: with a name, and without a folder."""
    return SimpleUploadedFile("x" + name[-200:].replace("/", ""), content)


def passkey() -> dict[str, Any]:
    """A credential as it is stored, of a key that nobody has."""
    public = cast(Any, ES256).from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    attested = AttestedCredentialData.create(Aaguid(bytes(16)), b"credential-1", public)
    flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.AT
    seen = AuthenticatorData.create(sha256(b"testserver").digest(), flags, 0, attested)
    response = {"clientDataJSON": b'{"type":"webauthn.create","challenge":"","origin":"http://testserver"}'}
    response["attestationObject"] = AttestationObject.create("none", seen, {})
    packed = {name: websafe_encode(bytes(value)) for name, value in response.items()}
    return {"id": websafe_encode(b"credential-1"), "rawId": websafe_encode(b"credential-1"), "type": "public-key", "response": packed}


CASES = [(form, number) for form, makers in FORMS.items() for number in range(len(makers))]


@pytest.mark.parametrize(("form", "number"), CASES, ids=[f"{form.__module__.rpartition('.')[2]}-{form.__name__}-{n}" for form, n in CASES])
def test_odd_input_is_refused_at_its_field(form: type[forms.BaseForm], number: int, world: World) -> None:
    make_form = FORMS[form][number]
    blank = make_form(world, QueryDict(), MultiValueDict())

    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    @given(inputs(blank))
    def holds(sent: tuple[dict[str, list[str]], dict[str, tuple[str, bytes]]]) -> None:
        data = QueryDict(mutable=True)
        for name, values in sent[0].items():
            data.setlist(name, values)
        files: Files = MultiValueDict({name: [uploaded(*file)] for name, file in sent[1].items()})
        check(make_form(world, data, files))

    holds()


def check(form: Any) -> None:
    """Valid or not, it can be shown, its errors are at its fields, and what it makes of valid input is made or refused in words."""
    valid = form.is_valid()
    assert valid or form.errors
    assert set(form.errors) <= {*form.fields, "__all__"}
    assert all(str(problem).strip() for problems in form.errors.values() for problem in problems)
    drawn = "".join([*(str(field) for field in form), str(form.errors), str(form.non_field_errors())])
    assert "<script" not in drawn.lower() and "<img src" not in drawn.lower()
    if valid:
        for name, found in inspect.getmembers(type(form), lambda member: isinstance(member, property)):
            if name in vars(forms.BaseForm) or found.fget is None:
                continue
            try:
                getattr(form, name)
            except StoreError as error:
                assert error.message


@pytest.mark.parametrize("form", AT_THE_DOOR, ids=lambda form: form.__name__)
def test_odd_input_at_the_door_is_an_answer(form: type[forms.BaseForm], settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = False
    address, *names = AT_THE_DOOR[form]
    user = make("ana", "viewer")
    if address != "/account/second-factor/app/":
        TOTP.activate(user, "JBSWY3DPEHPK3PXP")
    key = Authenticator.objects.create(user=user, type=Authenticator.Type.WEBAUTHN, data={"name": "key", "credential": passkey()})
    address = address.replace("/1/", f"/{key.pk}/")
    sent_by_name = {name: credentials() if name == "credential" else texts() for name in names}

    @example_settings
    @given(st.fixed_dictionaries({}, optional=sent_by_name))
    def holds(sent: dict[str, str]) -> None:
        client = Client() if address.startswith("/sign-in/") else sign_in(Client(), user)
        if address == "/sign-in/code/":
            assert client.post("/sign-in/", {"username": "ana", "password": "correct horse"})["Location"] == address
        assert client.get(address, headers={"X-Requested-With": "XMLHttpRequest"}).status_code == 200, "the page of the form is open"
        answer = client.post(address, sent)
        assert answer.status_code < 500
        assert "<script>alert" not in answer.content.decode().lower() and "<img src=x" not in answer.content.decode().lower()

    holds()


example_settings = settings(max_examples=12, suppress_health_check=list(HealthCheck))


def zipped(text: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.toml", text)
    return packed.getvalue()


BOMBS: Mapping[str, bytes] = {
    "gzip": gzip.compress(bytes(20_000_000)),
    "gzip of a configuration": gzip.compress(b'store."x".type = "redis"\n' * 100_000),
    "zip": zipped(bytes(20_000_000)),
    "zip of a configuration": zipped(b'store."x".type = "redis"\n' * 100_000),
    "many tables": b"".join(b"[a%d.b.c.d]\nx = 1\n" % number for number in range(200_000)),
    "one deep key": b"a." * 400_000 + b"b = 1\n",
    "deep brackets": b"a = " + b"[" * 400_000,
    "deep JSON": b'{"a":' * 400_000,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_packed_and_swollen_files_are_refused_as_configuration(client: Client, kind: str) -> None:
    began = time.process_time()
    answer = client.post("/import/", {"file": SimpleUploadedFile("config.toml", BOMBS[kind])})
    if kind.startswith(("gzip", "zip", "many", "deep JSON")):
        assert answer.status_code == 422 and "kv-error" in answer.content.decode()
    else:  # text that can be read up to a line: the preview says which one, and nothing of it would be created
        shown = client.get(answer["Location"])
        assert shown.status_code == 200 and not plan(BOMBS[kind].decode(), "config.toml").stores
    assert time.process_time() - began < 10, "nothing of it is unpacked or walked through for long"
    assert Store.objects.count() == 0


def test_packed_bodies_are_not_unpacked_by_the_api(client: Client) -> None:
    _, secret = token_service.issue(Actor.of_user(make("bob", "admin")), "t", ["admin"])
    headers = {"Authorization": f"Bearer {secret}", "Content-Encoding": "gzip"}
    answer = client.generic("POST", "/api/v1/stores", BOMBS["gzip"], "application/json", headers=headers)
    assert 400 <= answer.status_code < 500
