"""Where the captured stores and the vectors are; the tests that need them skip by name outside CI when they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("KVADMIN_TEST_SHARED", ROOT.parent / "shared"))
FIXTURES = SHARED / "fixtures"
SPEC = SHARED / "spec"

needs_fixtures = pytest.mark.skipif(
    not FIXTURES.is_dir() and not os.environ.get("CI"), reason="the captured stores are not beside this checkout"
)
