"""`static-test`: which entry answers for a key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, KvCommand
from stores.registry import find_store
from stores.services import static_tests


class Command(KvCommand):
    help = "Say which entry of a static store or an HTTP lookup answers for a key, and which it shadows. Exit code 1 when none does."
    details = """\
With --json: {"store", "key", "found", "type", "value", "text", "entry": {"key", "raw", "pattern"}, "shadowed": [{"key", "raw",
"pattern"}]}. "type" is integer, float or text; "value" is typed as the server types it, "text" is what an expression shows. Where
nothing answers "found" is false and type, value, text and entry are null. Shadowed entries come in the order in which they would
have answered."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("store", metavar="STORE", help="a static store or an HTTP lookup")
        parser.add_argument("key", metavar="KEY", help="what a lookup asks for")

    def run(self, options: dict[str, Any]) -> int:
        store, key = find_store(options["store"]), options["key"]
        answer = static_tests.which(store, key)
        if options["json"]:
            self.json(static_tests.as_json(store, key, answer))
        elif answer is None:
            self.line(f"No entry of {store.id} answers.")
        else:
            self.line(f"{answer.text}  ({static_tests.kind(answer)}), from the {'pattern' if answer.glob else 'entry'} {answer.key}")
            for name, raw in answer.shadows:
                self.line(f"  shadows {name} = {raw}")
        return DONE if answer is not None else REFUSED
