"""0.16: config.json and registry objects as plans."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stores.errors import BadConfig
from stores.stalwart_toml.objects import plan_from_config_json, plan_from_objects, registry_objects
from stores.stalwart_toml.plan import ImportPlan
from stores.stalwart_toml.reading import read
from tests.fixtures_path import FIXTURES, needs_fixtures


def said(plan: ImportPlan) -> str:
    return "\n".join(f"{problem.severity.value} {problem.message} {problem.fix}" for problem in plan.problems)


def store(value: dict[str, Any]) -> tuple[str, dict[str, str]]:
    plan = plan_from_config_json(value, "config.json")
    (found,) = plan.stores
    assert plan.default == "datastore" and plan.version == "0.16"
    assert found.blocked == "", found.blocked
    return found.type, dict(found.settings)


class TestConfigJson:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"@type": "Sqlite", "path": "/d.db"}, ("sqlite", {"path": "/d.db"})),
            (
                {"@type": "Sqlite", "path": "/d.db", "poolWorkers": 4, "poolMaxConnections": 10},
                ("sqlite", {"path": "/d.db", "pool.workers": "4", "pool.max-connections": "10"}),
            ),
            (
                {"@type": "RocksDb", "path": "/r", "blobSize": 16834, "bufferSize": 8192, "cacheSize": 1},
                ("rocksdb", {"path": "/r", "min-blob-size": "16834", "write-buffer-size": "8192"}),
            ),
            (
                {
                    "@type": "PostgreSql",
                    "host": "h",
                    "authUsername": "u",
                    "authSecret": {"@type": "Value", "secret": "p"},
                    "useTls": True,
                    "allowInvalidCerts": False,
                    "timeout": 15000,
                    "poolRecyclingMethod": {"@type": "Fast"},
                    "readReplicas": {},
                },
                (
                    "postgresql",
                    {
                        "database": "stalwart",
                        "host": "h",
                        "user": "u",
                        "password": "p",
                        "tls.enable": "true",
                        "tls.allow-invalid-certs": "false",
                        "timeout": "15s",
                    },
                ),
            ),
            (
                {
                    "@type": "MySql",
                    "host": "h",
                    "port": 3307,
                    "database": "d",
                    "authSecret": {"@type": "EnvironmentVariable", "variableName": "DB"},
                    "maxAllowedPacket": None,
                    "timeout": "20s",
                },
                ("mysql", {"host": "h", "port": "3307", "database": "d", "password": "%{env:DB}%", "timeout": "20s"}),
            ),
            (
                {"@type": "MySql", "host": "h", "authSecret": {"@type": "File", "filePath": "/run/s"}},
                ("mysql", {"host": "h", "database": "stalwart", "password": "%{file:/run/s}%"}),
            ),
            ({"@type": "MySql", "host": "h", "authSecret": {"@type": "None"}}, ("mysql", {"host": "h", "database": "stalwart"})),
            (
                {"@type": "FoundationDb", "clusterFile": "/f", "transactionTimeout": 5500, "transactionRetryLimit": 3, "machineId": "m"},
                (
                    "foundationdb",
                    {"cluster-file": "/f", "transaction.timeout": "5500ms", "transaction.retry-limit": "3", "ids.machine": "m"},
                ),
            ),
        ],
    )
    def test_variants(self, value: dict[str, Any], expected: tuple[str, dict[str, str]]) -> None:
        assert store(value) == expected

    @pytest.mark.parametrize(
        ("value", "part"),
        [
            ({"@type": "Oracle"}, '"Oracle" is no type of store'),
            ({}, '"" is no type of store'),
            ({"@type": "Sqlite"}, "path is missing"),
            ({"@type": "Sqlite", "path": "/d", "colour": 1}, "the field colour is not understood"),
            ({"@type": "Sqlite", "path": "/d", "poolWorkers": "many"}, "poolWorkers is not a whole number"),
            ({"@type": "MySql", "host": "h", "authSecret": {"@type": "Vault"}}, 'of type "Vault" is not understood'),
            ({"@type": "MySql", "host": "h", "authSecret": {"@type": "Value", "secret": "****"}}, "Type the password"),
            ({"@type": "PostgreSql", "host": "h", "readReplicas": [{"host": "x"}]}, "read replicas are not used"),
        ],
    )
    def test_what_is_said(self, value: dict[str, Any], part: str) -> None:
        assert part in said(plan_from_config_json(value, "config.json"))

    def test_no_secret_in_repr_or_remarks(self) -> None:
        plan = plan_from_config_json({"@type": "MySql", "host": "h", "authSecret": {"@type": "Value", "secret": "hunter2"}}, "x")
        assert "hunter2" not in repr(plan) + said(plan)


class TestObjects:
    @pytest.mark.parametrize(
        ("value", "settings"),
        [
            (
                {"@type": "Redis", "url": "rediss://h", "timeout": 10000, "poolTimeoutWait": 30000},
                {"redis-type": "single", "urls": "rediss://h", "timeout": "10s", "pool.wait-timeout": "30s"},
            ),
            (
                {
                    "@type": "RedisCluster",
                    "urls": {"0": "redis://a", "1": "redis://b"},
                    "authUsername": "u",
                    "authSecret": {"@type": "Value", "secret": "p"},
                    "protocolVersion": "resp3",
                    "maxRetries": 3,
                    "maxRetryWait": 1500,
                },
                {
                    "redis-type": "cluster",
                    "urls": "redis://a\nredis://b",
                    "read-from-replicas": "true",
                    "user": "u",
                    "password": "p",
                    "protocol-version": "resp3",
                    "retry.total": "3",
                    "retry.max-wait": "1500ms",
                },
            ),
            (
                {
                    "@type": "RedisSentinel",
                    "urls": ["redis://a:26379"],
                    "serviceName": "m",
                    "sentinelSecret": {"@type": "Value", "secret": "q"},
                },
                {"redis-type": "sentinel", "urls": "redis://a:26379", "serviceName": "m", "sentinelSecret": "q"},
            ),
        ],
    )
    def test_in_memory_store_of_its_own(self, value: dict[str, Any], settings: dict[str, str]) -> None:
        plan = plan_from_objects([("DataStore", {"@type": "Sqlite", "path": "/d"}), ("InMemoryStore", value)], "x")
        found = {store.id: store for store in plan.stores}
        assert plan.default == "in-memory"
        assert found["in-memory"].type == "redis" and dict(found["in-memory"].settings) == settings
        assert found["datastore"].type == "sqlite"

    def test_sharded(self) -> None:
        value = {"@type": "Sharded", "stores": {"0": {"@type": "Redis", "url": "redis://a"}, "1": {"@type": "Redis", "url": "redis://b"}}}
        plan = plan_from_objects([("InMemoryStore", value)], "x")
        assert [(s.id, s.type, s.settings.get("stores", s.settings.get("urls"))) for s in plan.stores] == [
            ("in-memory-1", "redis", "redis://a"),
            ("in-memory-2", "redis", "redis://b"),
            ("in-memory", "sharded-in-memory", "in-memory-1\nin-memory-2"),
        ]

    def test_default_is_the_data_store(self) -> None:
        plan = plan_from_objects([("InMemoryStore", {"@type": "Default"})], "x")
        assert plan.default == "datastore" and plan.stores == ()
        assert "Import that file too" in said(plan)

    @pytest.mark.parametrize(
        ("schedule", "purge"),
        [
            ({"@type": "Hourly", "minute": 30}, "30 *"),
            ({"@type": "Daily", "hour": 3, "minute": 0}, "0 3 *"),
            ({"@type": "Weekly", "day": 6, "hour": 23, "minute": 5}, "5 23 6"),
            ({"@type": "Weekly", "day": 0, "hour": 3, "minute": 0}, "0 3 7"),
            ({"@type": "Weekly", "day": 7, "hour": 3, "minute": 0}, ""),
            ({"@type": "Daily", "hour": 24, "minute": 0}, ""),
            ("0 3 *", ""),
        ],
    )
    def test_clean_up_schedule_is_that_of_the_default_store(self, schedule: Any, purge: str) -> None:
        objects = [("DataStore", {"@type": "Sqlite", "path": "/d"}), ("DataRetention", {"dataCleanupSchedule": schedule})]
        plan = plan_from_objects(objects, "x")
        assert plan.stores[0].purge == purge

    def test_lookups(self) -> None:
        objects: list[tuple[str, dict[str, Any]]] = [
            ("MemoryLookupKeyValue", {"namespace": "n", "key": "b", "value": "2", "isGlobPattern": False}),
            ("MemoryLookupKeyValue", {"namespace": "n", "key": "a*", "value": "1", "isGlobPattern": True}),
            ("MemoryLookupKeyValue", {"namespace": "n", "key": "lit*", "value": "3"}),
            ("MemoryLookupKeyValue", {"namespace": "n", "key": "b", "value": "again"}),
            ("MemoryLookupKey", {"namespace": "n", "key": "k"}),
            ("StoreLookup", {"namespace": "other", "store": {"@type": "MySql", "host": "h", "database": "d"}}),
            ("StoreLookup", {"namespace": "n", "store": {"@type": "Redis", "url": "redis://h"}}),
            ("StoreLookup", {"namespace": "sen", "store": {"@type": "RedisSentinel", "urls": ["redis://h"]}}),
            (
                "HttpLookup",
                {
                    "namespace": "h",
                    "url": "http://h",
                    "isGzipped": True,
                    "refresh": 43200000,
                    "maxEntrySize": 99,
                    "format": {"@type": "Csv", "indexKey": 1, "separator": ";", "skipFirst": False},
                },
            ),
            ("HttpLookup", {"namespace": "bad", "url": "http://h", "format": {"@type": "Xml"}}),
        ]
        plan = plan_from_objects(objects, "x")
        found = {store.id: store for store in plan.stores}
        assert found["other"].type == "mysql"
        assert found["n"].type == "redis"
        assert dict(found["h"].settings) == {
            "url": "http://h",
            "gzipped": "true",
            "refresh": "12h",
            "limits.entry-size": "99",
            "index.key": "1",
            "separator": ";",
            "skip-first": "false",
            "format": "csv",
        }
        assert found["bad"].blocked
        words = said(plan)
        for part in (
            "n holds a key twice",
            "n mixes keys",
            "two lookups of the namespace n",
            "cannot load a lookup store of type RedisSentinel",
            "creates no tables in other",
        ):
            assert part in words
        lists = plan_from_objects(objects[:4], "x").stores[0]
        assert lists.entries == (("b", "2"), ("a*", "1"), ("lit\\*", "3"))

    def test_forms_of_exports(self) -> None:
        redis = {"@type": "Redis", "url": "redis://h"}
        for data in (
            {
                "objects": [
                    {"op": "update", "object": "InMemoryStore", "value": redis},
                    {"object": "InMemoryStore", "ok": False, "value": {}},
                ]
            },
            [{"method": "x:InMemoryStore/set", "args": {"update": {"singleton": redis}}}],
            {"using": [], "methodCalls": [["x:InMemoryStore/set", {"update": {"singleton": redis}}, "c1"]]},
            {"methodResponses": [["x:InMemoryStore/get", {"list": [{"id": "singleton", **redis}]}, "c1"]]},
        ):
            assert registry_objects(data) == [("InMemoryStore", redis)]

    def test_what_the_server_refused_is_left_out_and_updates_add_up(self) -> None:
        data = [
            {
                "method": "x:MemoryLookupKey/set",
                "args": {"create": {"a": {"namespace": "n", "key": "k"}, "b": {"namespace": "n", "key": "l"}}},
                "response": {"notCreated": {"b": {"type": "invalid"}}},
            },
            {"method": "x:Security/set", "args": {"update": {"singleton": {"authBanRate": {"count": 1, "period": 1000}}}}},
            {"method": "x:Security/set", "args": {"update": {"singleton": {"scanBanRate": {"count": 2, "period": 1000}}}}},
            {"method": "x:Task/get", "args": {"ids": []}},
        ]
        objects = registry_objects(data)
        assert objects is not None and [kind for kind, _ in objects] == ["MemoryLookupKey", "Security"]
        plan = plan_from_objects(objects, "x")
        assert {limit.classes: (limit.count, limit.period) for limit in plan.limits} == {("rate-auth",): (1, 1.0), ("rate-scan",): (2, 1.0)}

    def test_other_json(self) -> None:
        assert registry_objects({"@type": "Sqlite"}) is None
        assert registry_objects([1, 2]) is None
        assert registry_objects("x") is None

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "@type",
                        "object",
                        "objects",
                        "value",
                        "store",
                        "stores",
                        "namespace",
                        "urls",
                        "format",
                        "authSecret",
                        "list",
                        "method",
                        "args",
                        "create",
                        "update",
                        "response",
                        "notCreated",
                        "methodResponses",
                        "key",
                        "rate",
                        "0",
                    ]
                ),
                inner | st.sampled_from(["Redis", "Sharded", "Sqlite", "x:StoreLookup/set", "InMemoryStore", "HttpLookup", "Csv"]),
                max_size=4,
            )
        ),
        max_leaves=20,
    )

    @settings(max_examples=300, deadline=None)
    @given(json_values)
    def test_any_json_gives_a_plan_or_a_typed_error(self, data: Any) -> None:
        try:
            read(json.dumps([data]) if not isinstance(data, dict) else json.dumps(data), "x.json")
        except BadConfig as error:
            assert error.field == "file"

    @settings(max_examples=200, deadline=None)
    @given(
        st.sampled_from(
            [
                "DataStore",
                "InMemoryStore",
                "StoreLookup",
                "HttpLookup",
                "MemoryLookupKey",
                "DataRetention",
                "MtaInboundThrottle",
                "Security",
            ]
        ),
        st.dictionaries(
            st.sampled_from(
                [
                    "@type",
                    "store",
                    "url",
                    "urls",
                    "stores",
                    "format",
                    "namespace",
                    "key",
                    "rate",
                    "dataCleanupSchedule",
                    "path",
                    "authBanRate",
                ]
            ),
            json_values,
        ),
    )
    def test_any_fields_give_a_plan(self, kind: str, value: dict[str, Any]) -> None:
        plan_from_objects([(kind, value)], "x")


class TestReading:
    def test_forms_are_told_apart(self) -> None:
        assert read("a = 1", "x").dialect == "toml"
        assert read('[store."s"]\ntype = 1', "x").dialect == "toml"
        assert read('\ufeff {"@type": "Sqlite", "path": "/d"}', "x").dialect == "config.json"
        assert read('{"objects": []}', "x").dialect == "objects"
        assert read('[{"method": "x:Task/set"}]', "x").dialect == "objects"
        assert read('{"lookup.a.b": "1"}', "x").dialect == "settings"

    def test_settings_of_a_data_store(self) -> None:
        plan = read('{"lookup.a.b": "%{cfg:x}%", "form.rate-limit": "5/1h"}', "x")
        assert plan.stores[0].entries == (("b", "%{cfg:x}%"),)
        assert plan.limits[0].count == 5
        assert plan.problems == ()

    def test_file_with_the_settings_of_its_data_store(self) -> None:
        plan = read('[store.s]\ntype = sqlite\npath = "/p"', "x", table={"lookup.a.b": "1", "store.s.path": "/no"})
        assert {store.id for store in plan.stores} == {"s", "a"}
        assert plan.stores[0].settings["path"] == "/p"

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ("", "empty"),
            (" \n ", "empty"),
            ("{", "line 1, column 2"),
            ("{}", "no configuration of Stalwart"),
            ('{"a": 1}', "no configuration of Stalwart"),
            ('[{"a": 1}]', "no configuration of Stalwart"),
            ('{"a":' * 100_000, "nested too deeply"),
            ('{"a": ' + "9" * 10_000 + "}", "too large a number"),
            ("{" + " " * (5 << 20), "characters"),
        ],
    )
    def test_refusals(self, text: str, part: str) -> None:
        with pytest.raises(BadConfig, match=part) as caught:
            read(text, "x")
        assert caught.value.field == "file" and caught.value.fix


@needs_fixtures
class TestCaptured:
    def test_config_json(self) -> None:
        plan = read((FIXTURES / "stalwart-0.16.18/sqlite/config.json").read_text(), "config.json")
        assert plan.default == "datastore" and plan.version == "0.16"
        assert [(store.type, dict(store.settings)) for store in plan.stores] == [("sqlite", {"path": "/var/lib/stalwart/data.db"})]

    @pytest.mark.parametrize("name", ["objects.json", "setup-requests.json"])
    def test_objects(self, name: str) -> None:
        plan = read((FIXTURES / "stalwart-0.16.18/sqlite" / name).read_text(), name)
        assert [(store.id, store.type, len(store.entries)) for store in plan.stores] == [
            ("other", "sqlite", 0),
            ("set1", "static", 2),
            ("kv1", "static", 8),
            ("httplist", "http", 0),
            ("httpcsv", "http", 0),
        ]
        assert plan.find("kv1").entries[-1] == ("lit\\*eral", "literal star")  # type: ignore[union-attr]
        assert len(plan.limits) == 16
        assert "hrowaway" not in repr(plan)

    @pytest.mark.parametrize("version", ["0.11.8", "0.15.5"])
    def test_settings_that_stalwart_wrote(self, version: str) -> None:
        plan = read((FIXTURES / f"stalwart-{version}/sqlite/db-settings-table-s.json").read_text(), "s.json")
        assert plan.dialect == "settings" and plan.stores == () and plan.problems == ()
        assert [(limit.name, limit.count, limit.period, limit.parts) for limit in plan.limits] == [
            ("ip", 5, 1.0, ("remote_ip",)),
            ("sender", 25, 3600.0, ("sender_domain", "rcpt")),
        ]
