"""A process that has a RocksDB database open for writing, as the mail server does, and writes when told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent.parent

_SERVER = """
import sys
from rocksdict import Options, Rdict, WriteBatch, AccessType
from stores.codecs.rocksoptions import options_text
from pathlib import Path
path, scratch = Path(sys.argv[1]), Path(sys.argv[2])
families = Rdict.list_cf(str(path))
(scratch / "OPTIONS-000001").write_text(options_text(families, str(scratch)))
options, of_family = Options.load_latest(str(scratch))
database = Rdict(str(path), options, of_family, AccessType.read_write())
tables = {name: database.get_column_family(name) for name in families}
print("open", flush=True)
for line in sys.stdin:
    verb, *words = line.split()
    if verb == "put":
        tables[words[0]].put(bytes.fromhex(words[1].strip("-")), bytes.fromhex(words[2].strip("-")))
    elif verb == "delete":
        tables[words[0]].delete(bytes.fromhex(words[1].strip("-")))
    elif verb == "flush":
        tables[words[0]].flush()
    elif verb == "compact":
        tables[words[0]].compact_range(None, None)
    elif verb == "quit":
        break
    print("done", flush=True)
for table in (*tables.values(), database):
    table.close()
print("closed", flush=True)
"""


def log_additions(path: Path, additions: list[tuple[bytes, int]], family: int, sequence: int) -> None:
    """Append pending additions to the write-ahead log of a stopped database, as a killed server leaves them.

    The engine's binding cannot write them. `family`: number of the column family; `sequence`: the first free sequence number.
    """
    records = b"".join(
        b"\x06" + bytes([family, len(key)]) + key + b"\x08" + amount.to_bytes(8, "little", signed=True) for key, amount in additions
    )
    batch = sequence.to_bytes(8, "little") + len(additions).to_bytes(4, "little") + records
    log = max(path.glob("*.log"))
    assert log.stat().st_size + len(batch) < 30_000, "one block holds it all"
    checksum = _crc32c(b"\x01" + batch)
    masked = ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
    with log.open("ab") as file:
        file.write(masked.to_bytes(4, "little") + len(batch).to_bytes(2, "little") + b"\x01" + batch)


def _crc32c(data: bytes) -> int:
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0x82F63B78 if checksum & 1 else 0)
    return checksum ^ 0xFFFFFFFF


class LiveServer:
    """Holds the LOCK from start to `stop` or `kill`."""

    def __init__(self, path: Path, scratch: Path) -> None:
        scratch.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(path), str(scratch)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._expect("open")

    def _expect(self, word: str) -> None:
        assert self.process.stdout is not None
        answer = self.process.stdout.readline().strip()
        assert answer == word, f"the writing process answered {answer!r}"

    def _tell(self, line: str, answer: str = "done") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        self._expect(answer)

    def put(self, table: str, key: bytes, value: bytes) -> None:
        self._tell(f"put {table} -{key.hex()} -{value.hex()}")

    def delete(self, table: str, key: bytes) -> None:
        self._tell(f"delete {table} -{key.hex()}")

    def flush(self, table: str) -> None:
        self._tell(f"flush {table}")

    def compact(self, table: str) -> None:
        self._tell(f"compact {table}")

    def stop(self) -> None:
        if self.process.poll() is None:
            self._tell("quit", "closed")
            self.process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self.stop()
        finally:
            if self.process.poll() is None:
                self.kill()
