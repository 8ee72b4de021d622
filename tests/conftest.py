"""What every test shares: generated examples are the same in every run, and a slow machine fails none of them.

Run with KVADMIN_TEST_EXPLORE=1 to look for new examples.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", deadline=None, database=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("explore" if os.environ.get("KVADMIN_TEST_EXPLORE") else "repeatable")
