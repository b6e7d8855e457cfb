"""Where tests find what does not move with them."""

from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
GOLDEN = TESTS / "golden"
ROOT = TESTS.parent
