"""Reading the body of a request: JSON as the standard has it, and nothing that a database or a store could not keep."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from django.http import HttpRequest
from ninja.errors import HttpError
from ninja.parser import Parser


class StrictParser(Parser):
    """Refuses NaN and infinities, halves of surrogate pairs, texts that are not UTF-8, and nesting that exhausts the stack."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            found = json.loads(request.body.decode(), parse_constant=_no_constant)
            json.dumps(found, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise HttpError(400, "The body is no JSON.") from None
        return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
