"""What the README shows exists: its sweep file is accepted, its commands, options and settings are known."""

import contextlib
import re
import shlex
from pathlib import Path

import click
import pytest

from fasray.cli import cli
from fasray.errors import FasrayError
from fasray.sweep.profiles import PROFILES
from fasray.sweep.spec import parse_sweep
from fasray.training.trial import TrainingSpec

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_IN_BLOCKS = re.findall(r"^(?:\$ |\S*/)?(fasray .+)", README, re.MULTILINE)
_IN_TEXT = re.findall(r"`(fasray [^`\[]+)`", README)
_IN_REMARKS = [
    part for remark in re.findall(r"# or: (.+?)(?:;|$)", README, re.MULTILINE) for part in remark.split(", ")
]
COMMANDS = sorted({*_IN_BLOCKS, *_IN_TEXT, *_IN_REMARKS})


def test_its_sweep_file_is_accepted() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    spec = parse_sweep(text, "README.md")
    assert set(spec.methods) == {"erm", "safas"}
    assert spec.training_of("safas").steps == 6000


@pytest.mark.parametrize("line", COMMANDS)
def test_its_commands_and_options_exist(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command: click.Command | None = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None, line
    mentioned = (click.MissingParameter, click.BadOptionUsage) if line in _IN_TEXT else ()  # not a call: no values
    with contextlib.suppress(click.exceptions.Exit, *mentioned):  # --help exits
        command.make_context(line, words)


def test_its_sweep_files_exist() -> None:
    named = set(re.findall(r"sweeps/[\w/<>-]+\.yaml", README))
    (listed,) = re.findall(r"Sweep files that come with fasray: (.+?)\n\n", README, re.DOTALL)
    named |= {f"sweeps/{name}" for name in re.findall(r"`(?!sweeps/)([\w/<>-]+\.yaml)`", listed)}
    assert "sweeps/loss_weights/<method>.yaml" in named
    for name in named:
        assert list(ROOT.glob(name.replace("<method>", "*"))), name
    there = {file.relative_to(ROOT).as_posix() for file in (ROOT / "sweeps").glob("*.yaml")}
    assert there <= named


def test_its_lists_are_whole() -> None:
    (settings,) = re.findall(r"`training` takes `profile` and `([^`]+)`", README)
    assert set(settings.split()) == set(TrainingSpec.model_fields) - {"ingest"}  # that stands at the top of the file
    assert all(f"`{name}`" in README for name in PROFILES)


def test_every_exit_code_is_told() -> None:
    kinds, codes = [FasrayError], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        codes.add(kind.exit_code)
    told = {int(code) for code in re.findall(r"^\| (\d) \| ", README, re.MULTILINE)}
    assert codes - {FasrayError.exit_code} == told - {0}
