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


def test_a_shipped_sweep_is_found_by_its_path_in_any_folder_unless_one_of_that_name_is_there(
    small_faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["plan", "sweeps/quickstart.yaml", "--set", f"data={small_faces}", "--slots", "2"]
    ran = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert f"there is no sweeps/quickstart.yaml in {tmp_path}: taking the one that comes with fasray" in ran.stderr
    assert "sweep quickstart" in ran.stdout
    (tmp_path / "sweeps").mkdir()
    own = (SWEEPS / "quickstart.yaml").read_text().replace("name: quickstart", "name: mine")
    (tmp_path / "sweeps" / "quickstart.yaml").write_text(own)
    ran = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert ran.stderr == ""
    assert "sweep mine" in ran.stdout
    with pytest.raises(SpecError, match="no such sweep file"):
        plan("quickstart.yaml")


def test_plan_decides_what_a_file_leaves_open_and_says_so(small_faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASRAY_DATA", str(small_faces))
    for option, profile, why in (("--gpus", "full", "there are GPUs"), ("--no-gpus", "small", "there are no GPUs")):
        lines = plan(SWEEPS / "loss_weights" / "safas.yaml", option, "--set", "training.image_size=32").splitlines()
        assert lines[:2] == [f"profile {profile}: {why}", f"data {small_faces}: from FASRAY_DATA"]
        assert any(line.startswith(f"profile {profile}: ") for line in lines[2:])
