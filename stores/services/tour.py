"""The tour of the first sign-in: three steps, kept a user, so that it goes on where it was left and never comes back unasked."""

from __future__ import annotations

from typing import Final

from stores.errors import BadConfig
from stores.models import Reader
from stores.texts import say

STEPS: Final = 3


def step_of(user_id: int) -> int:
    """1 to 3, 0 when the tour is over. One query."""
    found = Reader.objects.filter(pk=user_id).values_list("tour", flat=True).first()
    return 1 if found is None else found


def go_to(user_id: int, step: str) -> int:
    """Keep another step; 0 ends the tour. Raises BadConfig for what is no step."""
    if step not in [str(number) for number in range(STEPS + 1)]:
        raise BadConfig(say("The tour has no such step."), say("Choose a step from 1 to %(steps)s.", steps=STEPS), "step")
    Reader.objects.update_or_create(pk=user_id, defaults={"tour": int(step)})
    return int(step)
