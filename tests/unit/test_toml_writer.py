"""Definitions to TOML and back; the preview's lines without secrets."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stores.stalwart_toml.options import options_of
from stores.stalwart_toml.parser import parse
from stores.stalwart_toml.plan import PlannedStore
from stores.stalwart_toml.reading import read, source_lines
from stores.stalwart_toml.source import HIDDEN, Mark
from stores.stalwart_toml.writer import quoted, write, write_schedule
from tests.fixtures_path import FIXTURES, needs_fixtures

ids = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters=".\\\n\r%/?# \t\x00", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12
)
texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30).filter(lambda text: "%{" not in text)


def content(stores: tuple[PlannedStore, ...]) -> dict[str, tuple[object, ...]]:
    return {store.id: (store.type, dict(store.settings), sorted(store.entries), store.purge) for store in stores}


class TestRoundTrip:
    def test_all_kinds(self) -> None:
        stores = (
            PlannedStore("Mem.Store", "redis", {"redis-type": "cluster", "urls": "redis://a\nredis://b", "password": 'a"b\\c\n\td'}),
            PlannedStore('q"uote', "sqlite", {"path": "C:\\dir\\x"}, purge="0 3 *"),
            PlannedStore("list", "static", entries=(("*.x", ""), ("Ä b", "v"), ('q"', "1"))),
            PlannedStore("h", "http", {"url": "http://h", "format": "csv", "index.key": "0"}),
        )
        written = write(stores, "Mem.Store")
        assert written.left_out == ()
        plan = read(written.text, "x")
        assert content(plan.stores) == content(stores)
        assert plan.default == "Mem.Store"

    @given(texts)
    def test_any_value(self, value: str) -> None:
        assert parse(f"k = {quoted(value)}").settings["k"].value == value

    @settings(max_examples=200, deadline=None)
    @given(ids, st.lists(st.tuples(texts, texts), max_size=5, unique_by=lambda entry: entry[0]))
    def test_any_static_list(self, store_id: str, entries: list[tuple[str, str]]) -> None:
        usable = [(key, value) for key, value in entries if key and "\\" not in key and "\n" not in key]
        written = write([PlannedStore(store_id, "static", entries=tuple(entries))])
        if any(key for key, _ in entries):
            assert len(written.left_out) == len([key for key, _ in entries if "\\" in key or "\n" in key])
        if usable and all(key for key, _ in entries):
            (found,) = read(written.text, "x").stores
            assert (found.id, sorted(found.entries)) == (store_id, sorted(usable))

    def test_what_toml_has_no_words_for(self) -> None:
        written = write(
            [
                PlannedStore("s", "redis", {"urls": "redis://h", "serviceName": "m", "tls.ca-file": "/c"}),
                PlannedStore("l", "static", entries=(("a\\*", "1"), ("b", "%{env:X}%"))),
                PlannedStore("d.t", "static", entries=(("a", "1"),)),
            ]
        )
        assert [line.split(":")[0] for line in written.left_out] == ["s", "s", "l", "l", "d.t"]
        assert [store.id for store in read(written.text, "x").stores] == ["s"]

    def test_schedule(self) -> None:
        assert {k: s.value for k, s in parse(write_schedule("Mem", "0 3 *")).settings.items()} == {"store.Mem.purge.frequency": "0 3 *"}

    def test_no_secret_in_repr(self) -> None:
        assert "hunter2" not in repr(write([PlannedStore("s", "redis", {"urls": "redis://:hunter2@h"})]))

    @needs_fixtures
    @pytest.mark.parametrize("path", sorted(FIXTURES.glob("**/config*.toml")), ids=lambda path: "/".join(path.parts[-3:]))
    def test_captured_configurations(self, path: object) -> None:
        from pathlib import Path

        plan = read(Path(str(path)).read_text(), "config.toml")
        written = write(plan.stores, plan.default)
        assert written.left_out == ()
        assert content(read(written.text, "x").stores) == content(plan.stores)


class TestSource:
    def test_marks(self) -> None:
        text = (
            '# head\n[store."s"]\ntype = redis\nurls = [\n  "redis://u:hunter2@h",\n]\n\n[server]\nhostname = "h"\n'
            '[lookup.g]\n* = "all"\n[x]\npass$word = "hunter2"\nbroken "hunter2"\n[auth]\nsecret = "hunter2" # hunter2\n'
        )
        plan = read(text, "x")
        lines = source_lines(text, plan)
        assert [line.number for line in lines] == list(range(1, 18))
        marks = {line.number: line.mark for line in lines}
        assert marks[1] is Mark.BLANK and marks[7] is Mark.BLANK
        assert [marks[n] for n in (2, 3, 5)] == [Mark.USED] * 3
        assert [marks[n] for n in (8, 9, 12, 15, 16)] == [Mark.UNUSED] * 5
        assert [marks[n] for n in (11, 13, 14)] == [Mark.BAD] * 3
        assert lines[4].text == f'  "redis://u:{HIDDEN}@h",'
        assert lines[10].text == '* = "all"'
        assert lines[15].text == f"secret = {HIDDEN}"
        assert "hunter2" not in "".join(line.text for line in lines)

    @pytest.mark.parametrize(
        "text",
        [
            'password = "hunter2"',
            "password = 'hunter2'",
            'password = """\nhunter2\n"""\na = 1',
            '# password = "hunter2"',
            'a = "x" # ok\n[directory.l.bind.auth]\nsecret = "hunter2"',
            'x = {password = "hunter2", b = 1}',
            'password = "hunter2"\npassword = "hunter2"',
            'password = "hunter2',
            'password = "\nhunter2\nhunter2 = hunter2"x',
            'url = "https://a:hunter2@b/c"',
            'password = ["hunter2", "hunter2"]',
            'a.headers = ["Authorization: Basic hunter2"]',
            'anything = "Bearer hunter2"',
            "hunter2",
            '[secret\nx = "hunter2"',
            'oauth.key = "hunter2"',
            'certificate.x.private-key = "%{file:/k}%"\nstore.s.password = "hunter2"',
        ],
    )
    def test_no_secret_shows(self, text: str) -> None:
        shown = "\n".join(line.text for line in source_lines(text, read(text, "x")))
        assert "hunter2" not in shown
        assert shown.count("\n") == text.count("\n")

    def test_macros_are_shown(self) -> None:
        text = 'store.s.type = mysql\nstore.s.password = "%{env:DB}%"'
        assert source_lines(text, read(text, "x"))[1].text == 'store.s.password = "%{env:DB}%"'

    def test_a_setting_that_was_read_but_is_wrong_is_marked_and_shown(self) -> None:
        text = "[store.s]\ntype = sqlite"
        assert [(line.text, line.mark) for line in source_lines(text, read(text, "x"))][1] == ("type = sqlite", Mark.BAD)

    def test_other_forms_have_no_lines(self) -> None:
        text = '{"@type": "Sqlite", "path": "/d"}'
        assert source_lines(text, read(text, "x")) == ()

    @settings(max_examples=200, deadline=None)
    @given(st.text(alphabet=st.sampled_from(list("ab.=[]{}\"'\\#,*\n\t ")), max_size=60).filter(str.strip))
    def test_any_text_keeps_its_lines(self, text: str) -> None:
        if not text.lstrip().startswith("{") and not "".join(text.split()).startswith("[{"):
            assert len(source_lines(text, read(text, "x"))) == text.count("\n") + 1

    @needs_fixtures
    def test_captured_passwords(self) -> None:
        for path in FIXTURES.glob("**/config*.toml"):
            text = path.read_text()
            shown = "\n".join(line.text for line in source_lines(text, read(text, path.name)))
            assert "throwaway" not in shown.replace("All secrets are throw-away values", "")
            assert "t8RTiqq0spU2WATx0E496Efzm6NH8vhe" not in shown


def test_every_option_is_written_and_read() -> None:
    for type_name in ("sqlite", "postgresql", "mysql", "rocksdb", "foundationdb", "redis", "http"):
        samples = {"integer": "7", "boolean": "true", "duration": "5s", "choice": ""}
        options = options_of(type_name).values()
        values = {option.name: samples.get(option.kind.value, "x") or option.choices[-1] for option in options}
        store = PlannedStore("s", type_name, values)
        assert content(read(write([store]).text, "x").stores) == content((store,))
