"""What is written into a ledger that no sweep drives."""

from sweep_fixtures import SWEEP

from fasray.runs.events import Suggested
from fasray.runs.record import DataFacts
from fasray.sweep.sweep_file import parse_sweep

IDENTITY = parse_sweep(SWEEP).identity()
DATA = DataFacts("a" * 64, 10, 64, {"kind": "synthetic"})
TRIAL = Suggested(
    trial="0" * 16, method="erm", protocol="O&C&I->M", stage="search", seed=100, config={"a": 1}, total_steps=4
)
