"""`find`: every trace of a subject in all stores."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.core.management.base import CommandParser

from stores.management.base import DONE, REFUSED, KvCommand, printable, usage
from stores.management.commands.keys import words
from stores.management.selection import SHAPE
from stores.registry import find_store
from stores.services import find, reveal


class Command(KvCommand):
    help = "Find every trace of an IP, network, login, address, domain, AS number, Message-ID or queue id in all stores."
    json_help = "JSON Lines, one a key that was found"
    details = f"""\
  find 203.0.113.20
  find 203.0.113.20 news@good-sender.org     together they also fill limits that count by both
  find 203.0.113.0/24 --store memstore
  find AS64500; find 'account 42'; find '<1234@example.org>'

Where the key's bytes allow, a subject becomes look-ups; the rest is a walk through the stores, with its progress on stderr. Hashed
SMTP limits are found where limiters are known: from an imported configuration, or from the settings in an SQL or RocksDB data store.

With --json, one line a key: "store" and "why", and of the key
{SHAPE}
A store that does not answer is named on stderr and makes the exit code 1: nothing is known of it."""

    def arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subject", metavar="SUBJECT", nargs="+", help="what to look for; several are looked for together")
        parser.add_argument("--store", metavar="ID", help="only in this store; '' is the default lookup store")

    def run(self, options: dict[str, Any]) -> int:
        subject, seen, failed = " ".join(options["subject"]), set[tuple[str, bytes]](), set[str]()
        secrets = Counter[str]()
        with usage():
            find.checked(subject)
        for found in find.stream(subject, options["store"]):
            for finding in found.findings:
                if (finding.store_id, finding.row.entry.key) in seen:
                    continue
                seen.add((finding.store_id, finding.row.entry.key))
                if options["json"]:
                    secrets[finding.store_id] += finding.row.secret
                    self.json(find.json_finding(finding))
                else:
                    self.line(f"{finding.store_id}  {words(finding.row)}  [{finding.why}]")
            for searched in found.failed:
                failed.add(searched.store_id)
                self.stderr.write(printable(f"{searched.store_id}: not known. {searched.error}"))
            for searched in found.unfinished:
                share = "" if searched.progress is None else f", {searched.progress:.0%}"
                self.stderr.write(f"{searched.store_id}: {searched.scanned} more keys looked at{share} ...")
        for store_id, number in secrets.items():
            reveal.printed(self.actor, find_store(store_id), number)
        if not seen and not failed and not options["json"]:
            self.line("No store has a trace of it.")
        return REFUSED if failed else DONE
