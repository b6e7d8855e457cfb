"""``bench pack``: several trials at once against one after the other."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from fasray.cli import cli


@pytest.mark.slow
def test_two_trials_at_once_are_compared_with_one_after_the_other() -> None:
    """Both train in processes of their own, and the ratio is that of the images a second of both together."""
    arguments = ["bench", "pack", "--profile", "smoke", "--image-size", "32", "--device", "cpu", "--at-once", "2"]
    ran = CliRunner().invoke(cli, [*arguments, "--seconds", "0.05", "--repetitions", "2", "--json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    both, one = found["rows"]
    assert (both["name"], one["name"]) == ("at_once_2", "at_once_1")
    assert len(both["values"]) == len(one["values"]) == 2
    assert both["ratio"] is None
    assert one["ratio"] == pytest.approx(both["median"] / one["median"])
