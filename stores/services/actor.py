"""Who acts, and through what: every write, run and audit entry names one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PAGE: Final = "page"
COMMAND_LINE: Final = "command line"
SCHEDULE: Final = "schedule"
SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """`name` is what people read, `via` one of page, command line, api, schedule, system; `address` the client's IP."""

    name: str
    via: str
    user_id: int | None = None
    address: str | None = None

    @classmethod
    def system(cls, name: str = SCHEDULE) -> Actor:
        """kvadmin itself: the schedule, the set-up, the sweeper."""
        return cls(name, name if name == SCHEDULE else SYSTEM)

    @classmethod
    def command_line(cls) -> Actor:
        """Whoever may run commands on this machine."""
        return cls(COMMAND_LINE, COMMAND_LINE)
