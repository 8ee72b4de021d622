"""Every rule of the dialect, what happens after an error, and the limits."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stores.errors import BadConfig
from stores.stalwart_toml import parser
from stores.stalwart_toml.parser import parse
from tests.fixtures_path import FIXTURES, needs_fixtures


def flat(text: str) -> dict[str, str]:
    document = parse(text)
    assert document.faults == ()
    return {key: setting.value for key, setting in document.settings.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# only a comment", {}),
        ("\ufeffa = 1", {"a": "1"}),
        (
            "a = 10s\nb = redis\nc = -1.5\nd = +5\ne = true\nf = .5\ng = 5.",
            {"a": "10s", "b": "redis", "c": "-1.5", "d": "+5", "e": "true", "f": ".5", "g": "5."},
        ),
        ("a = größe", {"a": "größe"}),
        ("a = \"x\" # comment\r\nb='y'\r\n", {"a": "x", "b": "y"}),
        ('a = "tab\\tnew\\nret\\rquote\\"back\\\\other\\x"', {"a": 'tab\tnew\nret\rquote"back\\otherx'}),
        ("a = 'it\\'s \\t'", {"a": "it's \t"}),
        ('a = "two\nlines"\nb = 1', {"a": "two\nlines", "b": "1"}),
        ('a = """\nraw \\n "quoted" text\n"""', {"a": 'raw \\n "quoted" text\n'}),
        ("a = '''\r\n\nkept'''", {"a": "\nkept"}),
        ('a = """on one line"""', {"a": "on one line"}),
        ("a = \"\"\nb = ''", {"a": "", "b": ""}),
        ('a = "# not a comment"', {"a": "# not a comment"}),
    ],
)
def test_values(text: str, expected: dict[str, str]) -> None:
    assert flat(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Store.Mem]\nKeyCase = 1", {"store.mem.KeyCase": "1"}),
        ('[Store."Mem.X"]\ntype = 1', {"store.Mem.X.type": "1"}),
        ("[a]\nb.c = 1\n[d] # comment\ne = 2", {"a.b.c": "1", "d.e": "2"}),
        ('"quoted key !*?" = 1', {"quoted key !*?": "1"}),
        ("'single' = 1", {"single": "1"}),
        ('a."b.c".d = 1', {"a.b.c.d": "1"}),
        ('"a\\"b\\\\c\\*" = 1', {'a"bc*': "1"}),
        ("7days = 1\na-b_c = 2", {"7days": "1", "a-b_c": "2"}),
        ("a =1\nb= 2\nc\t=\t3", {"a": "1", "b": "2", "c": "3"}),
        ("[[t]]\na = 1\n[[t]]\na = 2\n[u]\nb = 3\n[[t]]\na = 4", {"t.0000.a": "1", "t.0001.a": "2", "t.0002.a": "4", "u.b": "3"}),
    ],
)
def test_keys_and_tables(text: str, expected: dict[str, str]) -> None:
    assert flat(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = [\"x\", y, 'z']", {"a.0000": "x", "a.0001": "y", "a.0002": "z"}),
        ("a = [\n 1, # one\n 2,\n]", {"a.0000": "1", "a.0001": "2"}),
        ("a = []\nb = {}", {}),
        ("a = [[1, 2], [3]]", {"a.0000.0000": "1", "a.0000.0001": "2", "a.0001.0000": "3"}),
        ('a = [{if = "x", then = 1}, {else = false}]', {"a.0000.if": "x", "a.0000.then": "1", "a.0001.else": "false"}),
        ("a = { \"one\", two , 'three' }", {"a.one": "", "a.two": "", "a.three": ""}),
        ("a = { b = 1, c.d = 2, e = { f } }", {"a.b": "1", "a.c.d": "2", "a.e.f": ""}),
        ('a = {\n "x", # first\n y = 1\n # last\n}', {"a.x": "", "a.y": "1"}),
        ("a = { Upper }", {"a.Upper": ""}),
        ("a = " + "[" * 10 + "1" + "]" * 10, {"a" + ".0000" * 10: "1"}),
    ],
)
def test_arrays_sets_and_inline_tables(text: str, expected: dict[str, str]) -> None:
    assert flat(text) == expected


def test_settings_are_in_byte_order_and_know_their_place() -> None:
    text = '[z]\na = "1"\n[b]\nlist = [\n  "x",\n  "y"]\n'
    document = parse(text)
    assert list(document.settings) == ["b.list.0000", "b.list.0001", "z.a"]
    assert [(setting.line, setting.listed) for setting in document.settings.values()] == [(5, True), (6, True), (2, False)]
    assert [text[slice(*setting.span)] for setting in document.settings.values()] == ['"x"', '"y"', '"1"']


def test_values_are_not_shown_by_repr() -> None:
    document = parse('password = "hunter2"')
    assert "hunter2" not in repr(document) + repr(document.settings) + str(document)


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("a = 1\na = 2", 2, 5, "a is set twice, the first time in line 1"),
        ("a = {b = 1, b = 2}", 1, 17, "a.b is set twice"),
        ("a.* = 1", 1, 3, "'*' cannot be part of a key"),
        ("_a = 1", 1, 1, "cannot begin with '_'"),
        ("= 1", 1, 1, "cannot begin with '='"),
        ('"" = 1', 1, 4, "The key is empty"),
        ("a b = 1", 1, 3, "'b' cannot be part of a key"),
        ("a", 1, 2, "The end of the file cannot be part of a key"),
        ("a\nb = 1", 1, 2, "U+000A cannot be part of a key"),
        ("a =\nb = 1", 1, 4, "The value is missing"),
        ("a = # nothing", 1, 5, "The value is missing"),
        ("a = %x", 1, 5, "cannot begin with '%'"),
        ("a = foo_bar", 1, 8, "'_' after the value"),
        ("a = 1 2", 1, 7, "'2' after the value"),
        ('a = "x" "y"', 1, 9, "after the value"),
        ('a = "open', 1, 5, "never closed"),
        ('a = """open', 1, 5, "never closed"),
        ("a = [1, 2", 1, 5, "[ is never closed"),
        ("a = {b = 1", 1, 5, "is never closed"),
        ("a = [1 2]", 1, 8, "where a comma or ] belongs"),
        ("a = [1,,2]", 1, 8, "cannot begin with ','"),
        ("a = {_x}", 1, 6, "cannot begin a key in braces"),
        ("a = {b c}", 1, 8, "cannot be part of a key"),
        ('"open = 1', 1, 1, "quoted key is not closed"),
        ("a = " + "[" * 11 + "1" + "]" * 11, 1, 15, "more than 10 deep"),
        ("[]\na = 1", 1, 2, "needs a name"),
        ("[a!]\nb = 1", 1, 3, "'!' cannot be part of a table name"),
        ("[[a]\nb = 1", 1, 4, "ends with one bracket"),
        ("[a] b = 1", 1, 5, "after the table name"),
        ("a\x07 = 1", 1, 2, "U+0007"),
        ("k" * 1100 + " = 1", 1, 1102, "1100 characters"),
    ],
)
def test_errors_name_line_column_and_reason(text: str, line: int, column: int, part: str) -> None:
    fault = parse(text).faults[0]
    assert (fault.line, fault.column) == (line, column)
    assert part in fault.message


class TestAfterAnError:
    def test_the_next_statement_is_read(self) -> None:
        document = parse("a = 1\nb = $\nc = 3\n[t]\n!\nd = 4")
        assert {key: s.value for key, s in document.settings.items()} == {"a": "1", "c": "3", "t.d": "4"}
        assert [(fault.line, fault.end_line) for fault in document.faults] == [(2, 2), (5, 5)]

    def test_half_a_value_is_never_kept(self) -> None:
        assert dict(parse("password = foo$bar\na = [1, 2, $]\nb = {x = 1, y = $}").settings) == {}

    def test_first_of_two_equal_keys_is_kept(self) -> None:
        document = parse('a = "first"\na = "second"')
        assert document.settings["a"].value == "first"

    def test_settings_below_an_unreadable_table_name_are_left_out(self) -> None:
        document = parse('[lookup."a"]\nx = 1\n[lookup!"b"]\ny = 2\n[lookup."c"]\nz = 3')
        assert list(document.settings) == ["lookup.a.x", "lookup.c.z"]
        assert "up to the next table" in document.faults[0].message

    def test_rest_of_a_broken_array_is_not_taken_for_settings(self) -> None:
        document = parse('[t]\na = [\n  "one",\n  two$,\n  "b = 1",\n  [x],\n  { c = 1 },\n]\nd = 2')
        assert list(document.settings) == ["t.d"]
        assert (document.faults[0].line, document.faults[0].end_line) == (4, 8)

    def test_unclosed_text_costs_only_its_own_line(self) -> None:
        document = parse('a = "x\nb = 2\n[t]\nc = 3')
        assert list(document.settings) == ["b", "t.c"]

    def test_unclosed_array_costs_only_what_is_not_a_statement(self) -> None:
        document = parse('a = [\n  "x",\n  "y"\nb = 2\n[t]\nc = 3')
        assert list(document.settings) == ["b", "t.c"]

    def test_line_feed_after_the_table_name_is_optional(self) -> None:
        document = parse("[a] nonsense\nb = 1")
        assert list(document.settings) == ["a.b"] and len(document.faults) == 1

    def test_a_password_is_in_no_message(self) -> None:
        document = parse(
            'password = hunter2$x\npassword = "hunter2" hunter2\nurls = ["redis://:hunter2@h", $]\nsecret "hunter2"\nx = "hunter2'
        )
        assert len(document.faults) == 5
        assert "hunter2" not in repr(document.faults)


class TestRepairs:
    TEXT = '[lookup."g"]\n* = "all"\n*.example.com = [1, 2]\nuser@* = "p"\na?c = $\nok = 1\n'

    def test_keys_without_quotes_are_offered(self) -> None:
        document = parse(self.TEXT)
        assert list(document.settings) == ["lookup.g.ok"]
        assert [fault.repairs for fault in document.faults] == [
            ("lookup.g.*",),
            ("lookup.g.*.example.com.0000", "lookup.g.*.example.com.0001"),
            ("lookup.g.user@*",),
            (),
        ]

    def test_and_read_on_request(self) -> None:
        document = parse(self.TEXT, repair=True)
        assert document.settings["lookup.g.user@*"].value == "p"
        assert len(document.settings) == 5
        assert [fault.repaired for fault in document.faults] == [True, True, True, False]

    def test_a_repair_may_not_overwrite(self) -> None:
        document = parse('"a*" = 1\na* = 2', repair=True)
        assert document.settings["a*"].value == "1"
        assert "set twice" in document.faults[-1].message


class TestLimits:
    def test_too_long_a_text(self) -> None:
        with pytest.raises(BadConfig, match="4,194,304") as caught:
            parse("#" * (parser.MAX_CHARACTERS + 1))
        assert caught.value.field == "file"

    def test_too_many_settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parser, "MAX_SETTINGS", 100)
        document = parse("a = [" + "1," * 150 + "]\nb = 1")
        assert len(document.settings) == 0
        assert "Reading ends here" in document.faults[-1].message
        assert len(parse("\n".join(f"k{n} = 1" for n in range(150))).settings) == 100

    def test_long_table_name_before_many_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parser, "MAX_KEY_CHARACTERS", 50_000)
        document = parse(f"[{'t' * 1000}]\n" + "\n".join(f"k{n} = 1" for n in range(1000)))
        assert len(document.settings) < 50
        assert "Reading ends here" in document.faults[-1].message

    def test_too_many_faults(self) -> None:
        document = parse("!\n" * 5000 + "a = 1")
        assert len(document.faults) == parser.MAX_PROBLEMS + 1
        assert document.faults[-1].end_line == 5001
        assert document.settings == {}

    @pytest.mark.parametrize(
        "bomb",
        [
            "a = " + "[" * 500_000,
            "a=[$\n" * 200_000,
            'a="\n' * 200_000,
            "a='''\n" * 200_000,
            "a" + " " * 1_000_000,
            "*" + " " * 1_000_000 + "\n" + "*" * 1_000_000,
            "a" * 1_000_000 + "!",
            '"' + "\\" * 1_000_000,
            "[" + "a." * 500_000,
            "a = {" + "b = {" * 100_000,
            "a = [" + '"' * 999_999,
            "[[t]]\n" * 100_000,
        ],
    )
    def test_bombs_end_in_seconds(self, bomb: str) -> None:
        began = time.monotonic()
        parse(bomb, repair=True)
        assert time.monotonic() - began < 10

    @settings(max_examples=300, deadline=None)
    @given(st.text(alphabet=st.sampled_from(list("ab.=[]{}\"'\\#,*\n\r\t -_1é%!\x00")), max_size=80), st.booleans())
    def test_any_text_is_read_without_a_crash(self, text: str, repair: bool) -> None:
        document = parse(text, repair=repair)
        lines = text.count("\n") + 1
        assert all(1 <= fault.line <= lines and fault.line <= fault.end_line <= lines for fault in document.faults)
        assert list(document.settings) == sorted(document.settings, key=str.encode)
        assert all(0 <= a < b <= len(text) for a, b in (s.span for s in document.settings.values()))

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=200))
    def test_any_unicode_is_read_without_a_crash(self, text: str) -> None:
        parse(text)


@needs_fixtures
class TestCapturedConfigurations:
    @pytest.mark.parametrize("path", sorted(FIXTURES.glob("stalwart-*/**/config*.toml")), ids=lambda path: "/".join(path.parts[-3:]))
    def test_read_completely(self, path: object) -> None:
        from pathlib import Path

        document = parse(Path(str(path)).read_text())
        assert document.faults == ()
        assert document.settings["storage.lookup"].value == "memstore"

    def test_what_stalwart_rewrote_and_could_not_read_back(self) -> None:
        (path,) = (FIXTURES / "oddities").glob("*.toml")
        document = parse(path.read_text())
        assert [fault.line for fault in document.faults] == [42, 43, 44, 46]
        assert document.settings["lookup.static-typed.leading-dot"].value == ".5"
        assert document.settings["queue.limiter.inbound.ip.key"].value == "remote_ip"
        repaired = parse(path.read_text(), repair=True)
        assert repaired.settings["lookup.static-glob.*"].value == "catchall"
        assert len(repaired.settings) == len(document.settings) + 4
