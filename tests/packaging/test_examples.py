"""``--example``: the sweeps that come with the package, by name."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fasray.cli import cli
from fasray.errors import SpecError

SWEEPS = Path(__file__).parents[2] / "sweeps"


def plan(*arguments: str | Path) -> str:
    ran = CliRunner().invoke(cli, ["plan", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)
    if ran.exception is not None:
        raise ran.exception
    return ran.stdout


def test_an_example_is_the_sweep_file_of_that_name(small_faces: Path) -> None:
    settings = ["--set", f"data={small_faces}", "--slots", "2"]
    assert plan("--example", "quickstart", *settings) == plan(SWEEPS / "quickstart.yaml", *settings)


def test_an_unknown_example_is_answered_with_all_there_are() -> None:
    with pytest.raises(SpecError, match="unknown example 'quick'") as error:
        plan("--example", "quick")
    names = [str(file.relative_to(SWEEPS).with_suffix("")) for file in SWEEPS.rglob("*.yaml")]
    assert len(names) > 10
    assert all(name in error.value.remedy for name in names)


@pytest.mark.parametrize("arguments", [(), ("--example", "quickstart", "sweep.yaml")])
def test_a_command_takes_one_sweep(arguments: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError, match=r"either SWEEP\.yaml or --example NAME"):
        plan(*arguments)
