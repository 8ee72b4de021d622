"""From settings to a plan: stores, roles, schedules, lookups, limits, macros, the database's settings, and what is said about them."""

from __future__ import annotations

import time

import pytest

from stores.stalwart_toml.document import Document, Setting
from stores.stalwart_toml.merge import LOCAL_KEYS, is_local, merge_settings
from stores.stalwart_toml.options import OPTIONS, checked, duration_text, milliseconds, options_of, rate
from stores.stalwart_toml.parser import parse
from stores.stalwart_toml.plan import ImportPlan, Limit, PlannedStore, Severity
from stores.stalwart_toml.settings import plan_from_settings
from stores.stalwart_toml.versions import guess


def plan_of(text: str) -> ImportPlan:
    return plan_from_settings(parse(text), "config.toml")


def store_of(text: str, store_id: str = "s") -> PlannedStore:
    found = plan_of(text).find(store_id)
    assert found is not None
    return found


def said(plan: ImportPlan) -> str:
    return "\n".join(f"{problem.severity.value} {problem.place} {problem.message} {problem.fix}" for problem in plan.problems)


ROLES = '[storage]\ndata = "s"\nblob = "s"\nfts = "s"\nlookup = "s"\n'
SQLITE = '[store."s"]\ntype = "SQLite"\npath = "/p"\n'


class TestStores:
    def test_a_whole_configuration(self) -> None:
        plan = plan_of(ROLES + SQLITE)
        assert plan.default == "s" and plan.roles["data"] == "s"
        assert plan.stores == (PlannedStore("s", "sqlite", {"path": "/p"}, lines=(7, 8)),)
        assert [problem.severity for problem in plan.problems] == [Severity.NOTE]
        assert "`0 5 *`" in plan.problems[0].message

    @pytest.mark.parametrize(
        ("options", "settings"),
        [
            ('type = "redis"\nurls = "redis://a"', {"urls": "redis://a"}),
            (
                'type = redis\nurls = ["redis://b", "redis://a"]\nredis-type = Cluster',
                {"urls": "redis://b\nredis://a", "redis-type": "cluster"},
            ),
            (
                'type = redis\nurls = "redis://a"\npool.create-timeout = false\npool.wait-timeout = ""\ntimeout = 5000',
                {"urls": "redis://a", "pool.create-timeout": "false", "pool.wait-timeout": "never", "timeout": "5000"},
            ),
            (
                'type = mysql\nhost = h\ndatabase = d\nport = never\ntls.enable = 1\npassword = ""',
                {"host": "h", "database": "d", "tls.enable": "true"},
            ),
            (
                'type = postgresql\ndatabase = d\npassword = "%{env:PG}%"\nport = "%{file:/run/port}%"',
                {"database": "d", "password": "%{env:PG}%", "port": "%{file:/run/port}%"},
            ),
            ('type = rocksdb\npath = "/r"\ncompression = lz4', {"path": "/r"}),
            ("type = foundationdb", {}),
            ("type = sharded-in-memory\nstores = [a, b]", {"stores": "a\nb"}),
            ("type = sql-read-replica\nprimary = a\nreplicas = b", {"primary": "a", "replicas": "b"}),
        ],
    )
    def test_options_by_type(self, options: str, settings: dict[str, str]) -> None:
        store = store_of(f"[store.s]\n{options}")
        assert dict(store.settings) == settings
        assert store.blocked == ""

    def test_ids_with_dots(self) -> None:
        plan = plan_of('[store."a"]\ntype = sqlite\npath = "1"\n[store."a.b"]\ntype = sqlite\npath = "2"\npool.workers = 4')
        assert {store.id: dict(store.settings) for store in plan.stores} == {"a": {"path": "1"}, "a.b": {"path": "2", "pool.workers": "4"}}

    @pytest.mark.parametrize(
        ("name", "reason"), [("s3", "blobs"), ("FS", "blobs"), ("azure", "blobs"), ("elasticsearch", "full-text"), ("nats", "messages")]
    )
    def test_stores_that_hold_no_keys_are_skipped_with_the_reason(self, name: str, reason: str) -> None:
        plan = plan_of(f'[store."x"]\ntype = "{name}"\nbucket = "b"\nsecret-key = "hunter2"')
        assert plan.stores == ()
        (skipped,) = plan.skipped
        assert (skipped.id, skipped.type, skipped.line) == ("x", name.lower(), 2) and reason in skipped.reason
        assert plan.ignored_count == 0

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ("[store.s]\ntype = memcached\nurl = x", "Stalwart has no store type memcached"),
            ("[store.s]\ntype = http", "Stalwart has no store type http"),
            ('[store.s]\ntype = "%{env:T}%"', "store.s.type is only known when Stalwart starts"),
            ("[store.s]\ntype = sqlite", "error line 2 store.s: path is missing."),
            ("[store.s]\ntype = mysql", "host and database are missing"),
            ('[store.s]\ntype = sqlite\npath = p\ncolour = "blue"', "warning line 4 store.s.colour is not understood"),
            ('[store.s]\ntype = redis\nurls = "redis://a"\nurl = "redis://b"', "takes address, database and TLS from urls"),
            ("[store.s]\ntype = sqlite\npath = p\ndisable = true", "Stalwart ignores it"),
            (
                "[store.s]\ntype = mysql\nhost = h\ndatabase = d\nport = many",
                'port "many" is not a whole number. Stalwart does not take it either and uses 3306',
            ),
            ("[store.s]\ntype = mysql\nhost = h\ndatabase = d\ntls.enable = perhaps", "is neither true nor false"),
            ('[store.s]\ntype = redis\nurls = "redis://a"\ntimeout = "10 parsecs"', "is not a duration"),
            ('[store.s]\ntype = redis\nurls = "redis://a"\nredis-type = ring', "is not one of single, cluster, sentinel"),
            ('[store.s]\ntype = redis\nurls = ["redis://a", "redis://b"]', "Stalwart uses only the first"),
            ('[store.s]\ntype = redis\nurls = "redis://a"\npassword = hunter2', "password counts for a cluster only"),
            ("[store.s]\ntype = sqlite\npath = p\ncompression = none", "note line 4 store.s.compression concerns blobs only"),
            ("[store.s]\npath = p", "store.s.path belongs to no store: its type is missing"),
            ("[store]\ntype = sqlite", "store.type belongs to no store"),
            (
                "[store.s]\ntype = sharded-in-memory\nstores = [t, u]\n[store.t]\ntype = sqlite\npath = p",
                "s is made of u, which is not defined",
            ),
            ("[store.s]\ntype = sharded-in-memory\nstores = [t, t]\n[store.t]\ntype = sqlite\npath = p", "t, which is no Redis store"),
        ],
    )
    def test_what_is_said(self, text: str, part: str) -> None:
        plan = plan_of(text)
        assert part in said(plan)
        assert "hunter2" not in said(plan)

    def test_options_for_directories_are_none_of_ours(self) -> None:
        plan = plan_of(SQLITE + 'query.name = "SELECT 1"\ninit.execute = "x"')
        assert plan.ignored == {"store": 2}
        assert "not understood" not in said(plan)

    def test_nothing_secret_in_repr(self) -> None:
        plan = plan_of('[store.s]\ntype = redis\nurls = "redis://:hunter2@h"\n[lookup.l]\nkey = "hunter2"')
        assert "hunter2" not in repr(plan) and "hunter2" not in str(plan)
        assert store_of('[store.s]\ntype = redis\nurls = "redis://:hunter2@h"').settings["urls"] == "redis://:hunter2@h"


class TestRoles:
    def test_missing_roles_switch_everything_off_in_stalwart(self) -> None:
        plan = plan_of('[storage]\nlookup = "s"\n' + SQLITE)
        assert "storage.data and storage.blob and storage.fts are not set; Stalwart then switches all stores off" in said(plan)
        assert plan.default == "s"

    def test_role_that_names_nothing(self) -> None:
        plan = plan_of(ROLES.replace('lookup = "s"', 'lookup = "gone"') + SQLITE)
        assert "storage.lookup names gone, which is not defined" in said(plan)
        assert plan.default == ""

    def test_default_that_cannot_hold_keys(self) -> None:
        plan = plan_of(ROLES + '[store.s]\ntype = "s3"')
        assert plan.default == "" and "cannot be a lookup store" in said(plan)

    def test_sql_store_without_tables(self) -> None:
        text = ROLES + SQLITE + "[store.pg]\ntype = postgresql\ndatabase = d\n"
        assert "Stalwart creates no tables in pg" in said(plan_of(text))
        assert "creates no tables" not in said(plan_of(text + '[metrics.history]\nstore = "pg"'))
        assert "creates no tables" not in said(plan_of(text.replace('fts = "s"', 'fts = "pg"')))
        assert "creates no tables" in said(plan_of(text.replace('fts = "s"', 'fts = "pg"') + "[queue.route.x]\ntype = mx"))

    def test_a_part_of_a_file_without_stores_is_fine(self) -> None:
        assert plan_of("[lookup.x]\na = 1").problems == ()

    def test_local_keys_star(self) -> None:
        assert "cannot read it back" in said(plan_of('[config]\nlocal-keys = ["*"]'))
        assert plan_of('[config]\nlocal-keys = ["store.*"]').problems == ()


class TestSchedules:
    @pytest.mark.parametrize(
        ("text", "purge", "part"),
        [
            ("0 3 *", "0 3 *", ""),
            ("00 03 *", "0 3 *", ""),
            ("5 * *", "5 *", ""),
            ("0 3 1", "0 3 1", "today, whatever the weekday"),
            ("0 12 7", "0 12 7", "invalid value: 12"),
            ("0  3 *", "0 3 *", "failed to parse cron hour"),
            ("0 3 * extra", "0 3 *", "ignores the rest"),
            ("5 */2 x", "5 *", "ignores the rest"),
            ("0 3 0", "", "Write 1 (Monday) to 7 (Sunday)"),
            ("0 3 8", "", "accepts the weekday 8"),
            ("x", "", "imported without a schedule"),
            ("%{env:CRON}%", "", "only known when Stalwart starts"),
            ("", "", "No purge schedule is set"),
        ],
    )
    def test_frequency(self, text: str, purge: str, part: str) -> None:
        plan = plan_of(ROLES + SQLITE + f'purge.frequency = "{text}"')
        assert plan.stores[0].purge == purge
        assert part in said(plan)

    def test_default_of_the_role_is_named(self) -> None:
        text = ROLES.replace('lookup = "s"', 'lookup = "t"') + SQLITE + 'purge.frequency = "x"\n[store.t]\ntype = redis\nurls = "redis://h"'
        assert "its default `0 3 *`" in said(plan_of(text))

    def test_redis_needs_none(self) -> None:
        plan = plan_of('[store.s]\ntype = redis\nurls = "redis://a"\npurge.frequency = "0 3 *"')
        assert plan.stores[0].purge == "" and "expires its keys by itself" in said(plan)


class TestLookups:
    def test_static(self) -> None:
        plan = plan_of('lookup.a.x.y = 1\n[lookup."b"]\n"k" = "v"\nZ = ""\n[lookup]\nset = { "one", two }')
        assert {store.id: store.entries for store in plan.stores} == {
            "a": (("x.y", "1"),),
            "b": (("Z", ""), ("k", "v")),
            "set": (("one", ""), ("two", "")),
        }
        assert all(store.type == "static" for store in plan.stores)

    def test_array_is_not_a_set(self) -> None:
        plan = plan_of('[lookup]\nx = ["a", "b"]')
        assert plan.stores[0].entries == (("0000", "a"), ("0001", "b"))
        assert "its keys are the numbers" in said(plan)

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ('[lookup]\nx = "a"', "lookup.x names no list or no key"),
            ("[lookup.trusted-domains]\na = 1", "Stalwart itself asks trusted-domains"),
            (SQLITE + "[lookup.s]\na = 1", "an in-memory store with this id already exists"),
            ('[store.s]\ntype = "s3"\n[lookup.s]\na = 1', "an in-memory store with this id already exists"),
            ('[lookup.x]\na = "%{env:A}%"', "The value of lookup.x.a is only known when Stalwart starts"),
            (f'[lookup.x]\n"{"k" * 600}" = 1', "has 600 characters"),
        ],
    )
    def test_what_is_said(self, text: str, part: str) -> None:
        assert part in said(plan_of(text))

    def test_http(self) -> None:
        text = (
            '[http-lookup."l.x"]\nurl = "http://h/l"\nformat = "list"\nlimits.entries = 5\n'
            '[http-lookup.c]\nurl = "http://h/c"\nformat = csv\nindex.key = 1'
        )
        plan = plan_of(text)
        assert {store.id: dict(store.settings) for store in plan.stores} == {
            "l.x": {"url": "http://h/l", "format": "list", "limits.entries": "5"},
            "c": {"url": "http://h/c", "format": "csv", "index.key": "1"},
        }
        assert {store.type for store in plan.stores} == {"http"}
        assert not any(store.blocked for store in plan.stores)

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ('[http-lookup.x]\nformat = "list"', "http-lookup.x.format belongs to no list: the setting url is missing"),
            ('[http-lookup.x]\nurl = "http://h"', "format is missing"),
            ('[http-lookup.x]\nurl = "http://h"\nformat = "xml"', "is not one of list, csv"),
            ('[http-lookup.x]\nurl = "http://h"\nformat = "csv"', "index.key is missing"),
            ('[http-lookup.x]\nurl = "http://h"\nformat = "list"\ncolour = 1', "http-lookup.x.colour is not understood"),
            ('[http-lookup.STWT_a]\nurl = "http://h"\nformat = "list"', "comes with the spam filter's rules"),
            (SQLITE + '[http-lookup.s]\nurl = "http://h"\nformat = "list"', "http-lookup.s has the id of another store"),
        ],
    )
    def test_http_that_stalwart_would_skip(self, text: str, part: str) -> None:
        assert part in said(plan_of(text))


class TestMacros:
    def test_references_are_resolved_and_the_rest_stays(self) -> None:
        plan = plan_of('base = "/var"\nname = "%{cfg:base}%/x-%{env:N}%"\n[store.s]\ntype = sqlite\npath = "%{cfg:name}%.db"')
        assert plan.stores[0].settings["path"] == "/var/x-%{env:N}%.db"

    @pytest.mark.parametrize(
        ("text", "path", "part"),
        [
            ('path = "a%{cfg:gone}%b"', "ab", "it refers to gone, which is not set"),
            ('path = "%{cfg:store.s.path}%x"', "x", "leads back to itself"),
            ('path = "%{cfg:a}%"\n[b]\nx=1', "", "refers to a"),
        ],
    )
    def test_wrong_references(self, text: str, path: str, part: str) -> None:
        plan = plan_of(f"[store.s]\ntype = sqlite\n{text}")
        assert plan.stores[0].settings.get("path", "") == path
        assert part in said(plan)

    def test_growing_references_end_early(self) -> None:
        lines = "\n".join(f'a{n} = "{f"%{{cfg:a{n + 1}}}%" * 20}"' for n in range(9)) + '\na9 = "xxxxxxxxxxxxxxxx"'
        began = time.monotonic()
        plan = plan_of(lines + '\n[store.s]\ntype = sqlite\npath = "%{cfg:a0}%"')
        assert time.monotonic() - began < 5
        assert len(plan.stores[0].settings.get("path", "")) <= 1 << 20
        assert plan.of_severity(Severity.ERROR)


class TestLimits:
    def test_rates_lifetimes_and_limiters(self) -> None:
        text = (
            '[server.auto-ban.auth]\nrate = "100/1d"\n[http.rate-limit]\nanonymous = false\n[oauth.expiry]\nauth-code = "10m"\n'
            '[spam-filter.reputation]\nexpiry = "30d"\n'
            '[queue.limiter.inbound."a.b"]\nkey = ["remote_ip", "rcpt"]\nrate = "5/1s"\nenable = true\n'
            '[queue.limiter.outbound.c]\nkey = "rcpt_domain"\nrate = "7/2h"\n'
            '[form]\nrate-limit = "nonsense"\n[report.spf]\nsend = "[1, 1d]"\n'
        )
        plan = plan_of(text)
        assert {limit.key: limit for limit in plan.limits} == {
            "server.auto-ban.auth.rate": Limit("server.auto-ban.auth.rate", ("rate-auth",), "100/1d", 100, 86400, line=2),
            "http.rate-limit.anonymous": Limit("http.rate-limit.anonymous", ("rate-http-anonymous",), "false", disabled=True, line=4),
            "oauth.expiry.auth-code": Limit("oauth.expiry.auth-code", ("oauth",), "10m", None, 600, line=6),
            "spam-filter.reputation.expiry": Limit(
                "spam-filter.reputation.expiry",
                ("reputation-ip", "reputation-from", "reputation-domain", "reputation-asn"),
                "30d",
                None,
                30 * 86400,
                disabled=True,
                line=8,
            ),
            "queue.limiter.inbound.a.b.rate": Limit(
                "queue.limiter.inbound.a.b.rate",
                ("rate-smtp",),
                "5/1s",
                5,
                1,
                parts=("remote_ip", "rcpt"),
                direction="inbound",
                name="a.b",
                line=11,
            ),
            "queue.limiter.outbound.c.rate": Limit(
                "queue.limiter.outbound.c.rate",
                ("rate-smtp",),
                "7/2h",
                7,
                7200,
                disabled=True,
                parts=("rcpt_domain",),
                direction="outbound",
                name="c",
                line=15,
            ),
        }

    def test_limited_classes_exist(self) -> None:
        from stores.keyclasses import CLASSES
        from stores.stalwart_toml import limits, objects

        slugs = {slug for table in (limits.RATES, limits.LIFETIMES) for slugs in table.values() for slug in slugs}
        slugs |= {*objects._RATES.values(), *objects._LIFETIMES.values(), "rate-smtp"}
        assert slugs <= set(CLASSES)


class TestValues:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("10s", 10_000),
            ("500", 500),
            ("500ms", 500),
            ("1d", 86_400_000),
            ("2h", 7_200_000),
            ("3m", 180_000),
            ("0", None),
            ("0s", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("1w", None),
        ],
    )
    def test_durations(self, text: str, expected: int | None) -> None:
        assert milliseconds(text) == expected

    def test_durations_as_text_read_back(self) -> None:
        for value in (1, 999, 1000, 15_000, 90_000, 3_600_000, 86_400_000, 315_360_000_000):
            assert milliseconds(duration_text(value)) == value

    @pytest.mark.parametrize(
        ("text", "expected"), [("35/1d", (35, 86_400_000)), ("5/1000", (5, 1000)), ("5", None), ("/1d", None), ("5/0s", None)]
    )
    def test_rates(self, text: str, expected: tuple[int, int] | None) -> None:
        assert rate(text) == expected

    def test_every_option_takes_its_own_default(self) -> None:
        for type_name in OPTIONS:
            for option in options_of(type_name).values():
                if option.default:
                    assert checked(option, option.default) == (option.default, "")


class TestDatabase:
    @pytest.mark.parametrize(
        ("name", "local"),
        [
            ("store.s.type", True),
            ("storage.lookup", True),
            ("storage.encryption.enable", False),
            ("server.hostname", True),
            ("server.blocked-ip.192.0.2.1", False),
            ("cluster.key", False),
            ("cluster.node-id", True),
            ("lookup.x.y", False),
            ("spam-filter.enable", False),
            ("authentication.fallback-admin.user", True),
            ("config.local-keys.0000", True),
        ],
    )
    def test_what_belongs_to_the_file(self, name: str, local: bool) -> None:
        assert is_local(name, LOCAL_KEYS) is local

    @pytest.mark.parametrize(
        ("pattern", "name", "local"),
        [
            ("*", "anything", True),
            ("a.*", "a.b", True),
            ("a.*", "a", False),
            ("*.b", "a.b", True),
            ("a.*.c", "a.x.y.c", True),
            ("a*b*c", "abc", True),
            ("a*a", "a", False),
            ("a.b", "a.b", True),
            ("a.b", "a.b.c", False),
            ("a*x*c", "abc", False),
        ],
    )
    def test_patterns(self, pattern: str, name: str, local: bool) -> None:
        assert is_local(name, [pattern]) is local
        assert is_local(name, ["*", f"!{pattern}"]) is not local

    def test_file_wins_and_local_settings_of_the_database_are_ignored(self) -> None:
        document = parse('[store.s]\ntype = sqlite\npath = "/file"\n[lookup.a]\nx = "file"')
        table = {"store.s.path": "/db", "store.t.type": "sqlite", "lookup.a.x": "db", "lookup.a.y": "db", "lookup.b.z": "%{env:Z}%"}
        merged = merge_settings(document, table)
        plan = plan_from_settings(merged, "config.toml")
        assert plan.find("t") is None
        found = {store.id: store for store in plan.stores}
        assert found["s"].settings == {"path": "/file"}
        assert found["a"].entries == (("x", "file"), ("y", "db"))
        assert found["b"].entries == (("z", "%{env:Z}%"),)

    def test_patterns_of_the_file_replace_the_default_ones(self) -> None:
        document = parse('[config]\nlocal-keys = ["lookup.*", "!lookup.b.*"]')
        merged = merge_settings(document, {"lookup.a.x": "1", "lookup.b.x": "2", "store.s.type": "redis"})
        assert [name for name in merged.settings if not name.startswith("config")] == ["lookup.b.x", "store.s.type"]
        assert merged.settings["lookup.b.x"].from_database

    def test_macros_of_the_database_are_text(self) -> None:
        document = Document({"lookup.a.x": Setting("%{cfg:y}%", from_database=True), "y": Setting("1")})
        assert plan_from_settings(document, "x").stores[0].entries == (("x", "%{cfg:y}%"),)


class TestVersions:
    @pytest.mark.parametrize(
        ("keys", "version"),
        [
            (["session.throttle.0000.rate"], "0.10"),
            (["lookup.spam-free.x"], "0.10"),
            (["queue.limiter.inbound.a.rate", "server.http.url"], "0.11"),
            (["http.url"], "0.15"),
            (["http.url", "queue.outbound.next-hop"], "0.12"),
            (["queue.route.mx.type"], "0.15"),
            (["queue.route.mx.type", "jmap.folders.x"], "0.15"),
            (["spam-filter.enable"], ""),
            (["store.s.type"], ""),
            ([], ""),
        ],
    )
    def test_guess(self, keys: list[str], version: str) -> None:
        found = guess(keys)
        assert found.version == version
        assert found.note


def test_many_stores_and_lists_take_no_time() -> None:
    one = '[store."s{n}.x"]\ntype = redis\nurls = ["redis://h{n}"]\n[lookup."l{n}"]\na = 1\n'
    one += '[http-lookup."h{n}"]\nurl = "http://h"\nformat = list\n'
    lines = [one.format(n=n) for n in range(3000)]
    began = time.monotonic()
    plan = plan_of("\n".join(lines))
    assert len(plan.stores) == 9000
    assert time.monotonic() - began < 10
