"""Every argument and option of every command that names a place takes it in any spelling, as the same place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from fasray.cli import cli
from fasray.cli.addresses import OUT_FILE, OUT_FOLDER, Address, LocalAddress, OutputFile
from fasray.errors import SpecError

WORDS = {
    "data prepare corpus", "data prepare detector", "data synth domains", "data synth attacks", "data synth corpus",
    "data synth size", "methods name", "plan example", "plan overrides", "sweep example", "sweep overrides",
    "train method", "train protocol", "train profile", "train overrides", "results selections", "why method",
    "why protocol", "why rule", "why variant", "metrics live_label", "metrics live_path", "metrics columns",
    "metrics aggregate", "metrics rule", "metrics role", "bench gpu-check methods", "bench gpu-check parts",
    "bench gpu-check-ray methods", "bench pack method", "bench pack profile", "bench sweep profile",
    "bench train methods", "bench train profile", "weights convert architecture", "compare baseline", "compare rule",
    "data corpora name", "data prepare cropped", "data prepare domain", "data prepare labels", "data prepare letters",
    "data prepare patterns", "pad-report method", "pad-report protocol", "pad-report rule", "pad-report threshold",
    "protocol import name", "score device", "watch host",
}  # fmt: skip
"""Texts that name no place."""
WITHIN = {"train data", "metrics labels", "metrics attacks", "metrics threshold", "score listed"}
"""Texts that may hold an address among other things; whoever takes it out resolves it."""


def parameters(command: click.Command = cli, name: str = "") -> Iterator[tuple[str, click.Parameter]]:
    if not isinstance(command, click.Group):
        yield from ((f"{name} {parameter.name}", parameter) for parameter in command.params)
        return
    context = click.Context(command)
    for word in command.list_commands(context):
        below = command.get_command(context, word)
        assert below is not None
        yield from parameters(below, f"{name} {word}".strip())


def spellings(place: Path) -> list[str]:
    """Ten ways to write a place under the working folder, which is the home folder too."""
    home = place.parent
    return [
        str(place), place.name, f"./{place.name}", f"~/{place.name}", place.as_uri(), f"local://{place}",
        place.as_uri().replace("file:///", "file://localhost/"), f"/{home}//{place.name}", f"{home}/./{place.name}",
        f"{home}/../{home.name}/{place.name}",
    ]  # fmt: skip


def test_each_text_that_a_command_takes_is_known_to_name_a_place_or_none() -> None:
    texts = {
        name
        for name, parameter in parameters()
        if isinstance(parameter.type, click.types.StringParamType | click.Path | click.File)
    }
    assert texts == WORDS | WITHIN


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("name", ["run", "what? a place", "a#1 [x]*"])
def test_every_address_of_every_command_agrees_on_ten_spellings(
    name: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    if there:
        (tmp_path / name).touch()
    tried = 0
    for where, parameter in parameters():
        if isinstance(parameter.type, Address):
            tried += 1
            for spelling in spellings(tmp_path / name):
                place = parameter.type.convert(spelling, parameter, None)
                assert Path(place).absolute().resolve() == tmp_path / name, f"{where}: {spelling}"
    assert tried > 25
    assert {path.name for path in tmp_path.iterdir()} == ({name} if there else set())


def test_what_names_no_place_is_refused_with_the_option_that_names_it() -> None:
    for where, parameter in parameters():
        if isinstance(parameter.type, Address):
            for text in (" ", "file:x", "file://host/x", "s3:/bucket"):
                with pytest.raises(SpecError) as error:
                    parameter.type.convert(text, parameter, None)
                if parameter.opts[-1].startswith("--"):
                    assert parameter.opts[-1] in error.value.where, where


@pytest.mark.parametrize("text", ["memory://x", "https://host/x", "zip://x.zip"])
def test_nothing_is_written_where_it_would_be_lost(text: str) -> None:
    for kind in (OUT_FILE, OUT_FOLDER):
        with pytest.raises(SpecError, match="nothing can be kept"):
            kind.convert(text, None, None)


def test_a_folder_is_refused_where_a_file_is_wanted(tmp_path: Path) -> None:
    for text in (str(tmp_path), str(tmp_path / "new") + "/"):
        with pytest.raises(SpecError, match="folder, not a file"):
            OUT_FILE.convert(text, None, None)


def test_any_name_of_a_local_file_that_is_there_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("s3:x.jpg", "blank .jpg ", "~me.mp4", "file:a"):
        (tmp_path / name).touch()
        assert LocalAddress().convert(name, None, None) == name
    assert not isinstance(LocalAddress(), OutputFile)
