"""Fixtures of the sweep tests; ``sweep_fixtures`` holds what they are made of."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sweep_fixtures import SWEEP, make_table, plan_of  # noqa: E402

from fasray.faces.index import FaceIndex  # noqa: E402
from fasray.sweep.plan import Plan  # noqa: E402


@pytest.fixture(scope="session")
def table() -> FaceIndex:
    return make_table()


@pytest.fixture
def plan(table: FaceIndex) -> Plan:
    return plan_of(SWEEP, table)
