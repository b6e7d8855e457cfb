"""What the README shows exists: its sweep file is accepted, its commands and settings are known."""

import re
from pathlib import Path

import click
import pytest

from fasray.cli import cli
from fasray.errors import FasrayError
from fasray.sweep.profiles import PROFILES
from fasray.sweep.spec import parse_sweep
from fasray.training.trial import TrainingSpec

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"^(?:make bench +# or: )?fasray ([a-z]+(?: [a-z]+)?)", README, re.MULTILINE)))


def test_its_sweep_file_is_accepted() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    spec = parse_sweep(text, "README.md")
    assert set(spec.methods) == {"erm", "safas"}
    assert spec.training_of("safas").steps == 6000


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_exist(line: str) -> None:
    command: click.Command | None = cli
    for word in line.split():
        if isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
            assert command is not None, line


def test_its_lists_are_whole() -> None:
    (settings,) = re.findall(r"`training` takes `profile` and `([^`]+)`", README)
    assert set(settings.split()) == set(TrainingSpec.model_fields)
    assert all(f"`{name}`" in README for name in PROFILES)


def test_every_exit_code_is_told() -> None:
    kinds, codes = [FasrayError], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        codes.add(kind.exit_code)
    told = {int(code) for code in re.findall(r"^\| (\d) \| ", README, re.MULTILINE)}
    assert codes - {FasrayError.exit_code} == told - {0}
