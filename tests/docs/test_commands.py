"""What README and documentation show exists: commands, options, make targets, sweep files, linked files."""

import contextlib
import pkgutil
import re
import shlex

import click
import pytest
from locations import ROOT

from fasray.cli import cli
from fasray.faces import corpora
from fasray.faces.corpora import csv_corpus
from fasray.nets.backbones import registry
from fasray.sweep.profiles import PROFILES
from fasray.sweep.sweep_file import parse_sweep

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def _shown() -> set[str]:
    """Every command in a block, and those in its remarks: ``# or: fasray bench data, fasray bench sweep``."""
    found = set()
    for text in TEXTS.values():
        blocks = [block for language, block in _FENCE.findall(text) if language in {"", "console"}]
        for line in "".join(blocks).splitlines():
            call, _, remark = line.partition(" # ")
            others = remark.removeprefix("or: ").partition(";")[0].split(", ") if "or: fas" in remark else []
            for part in (call, *others):
                for command in re.findall(r".*(?:^|[\s/'])(fasray (?:[a-z]|--).+)", part):
                    found.add((command.rstrip("'") if command.count("'") % 2 else command).strip())
    return found


SHOWN = _shown()
MENTIONED = {
    " ".join(name.split())
    for text in TEXTS.values()
    for name in re.findall(r"`(fasray [^`\[]+)`", _FENCE.sub("", text))
}


def test_there_are_commands_to_check() -> None:
    assert len(SHOWN) > 45
    assert len(MENTIONED) > 15


@pytest.mark.parametrize("line", sorted(SHOWN | MENTIONED))
def test_commands_and_options_exist(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(line, comments=True)[1:]
    command: click.Command | None = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None, line
    only_named = () if line in SHOWN else (click.MissingParameter, click.BadOptionUsage)  # not a call: no values
    with contextlib.suppress(click.exceptions.Exit, *only_named):  # --help exits
        command.make_context(line, words)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {name for text in TEXTS.values() for name in re.findall(r"(?:^|`|\$ )make ([a-z-]+)", text, re.MULTILINE)}
    assert {"demo", "test", "docs"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


def test_named_files_modules_and_functions_exist() -> None:
    told = "".join(TEXTS.values())
    for path in set(re.findall(r"(?<![\w/.~-])(?:fasray|cluster|docs|tests)/[\w/.-]*\w", told)) - {
        "fasray/methods/mine.py"
    }:
        assert (ROOT / path).exists(), path
    names = set(re.findall(r"(?<![\w/.-])fasray(?:\.[A-Za-z_]\w*)+", told)) - {registry.GROUP}
    assert len(names) > 10
    for name in names:
        assert pkgutil.resolve_name(name), name


def test_quoted_messages_are_those_of_the_code() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "fasray").rglob("*.py"))
    quoted = re.findall(r"`(?:-> )?((?:submit|stopped on|waiting:) [^`.0-9]*[a-z])", "".join(TEXTS.values()))
    assert len(quoted) >= 3
    assert [message for message in quoted if message not in code] == []


def test_the_sweep_file_of_the_tutorial_is_accepted() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", TEXTS["docs/tutorial/your-own-sweep.md"], re.DOTALL)
    spec = parse_sweep(text, "your-own-sweep.md")
    assert set(spec.methods) == {"erm", "safas"}
    assert spec.training_of("safas").steps == 6000


def test_every_sweep_file_is_listed_and_every_listed_one_exists() -> None:
    listed = set(
        re.findall(r"^\| `(sweeps/[\w/<>-]+\.yaml)` \| ", TEXTS["docs/tutorial/your-own-sweep.md"], re.MULTILINE)
    )
    named = {name for text in TEXTS.values() for name in re.findall(r"sweeps/[\w/<>-]+\.yaml", text)}
    assert {file.relative_to(ROOT).as_posix() for file in (ROOT / "sweeps").glob("*.yaml")} <= listed
    for name in listed | named:
        assert list(ROOT.glob(name.replace("<method>", "*"))), name


def test_the_tutorial_names_every_profile() -> None:
    assert all(f"`{name}`" in TEXTS["docs/tutorial/your-own-sweep.md"] for name in PROFILES)


def test_every_corpus_and_every_column_of_a_manifest_is_documented() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| [\w-]+ \| ", TEXTS["docs/how-to/prepare-a-corpus.md"], re.MULTILINE)
    assert listed == corpora.names()
    own = TEXTS["docs/how-to/own-faces.md"]
    for name in (*csv_corpus.REQUIRED, *csv_corpus.OPTIONAL):
        assert re.search(rf"(?:^|[`,]){name}(?:[`,]|$)", own, re.MULTILINE), name


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    readme = TEXTS["README.md"]
    assert readme.count("\n") <= 120
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", readme)
    assert len(links) > 10
    for link in links:
        assert (ROOT / link).exists(), link


def test_no_page_leads_out_of_the_documentation() -> None:
    """A site is only its own pages."""
    for page, text in TEXTS.items():
        if page != "README.md":
            for link in re.findall(r"\]\(((?!https?:)[^)#]+)|src=\"([^\"]+)\"", _FENCE.sub("", text)):
                found = (ROOT / page).parent.joinpath("".join(link)).resolve()
                assert found.is_relative_to(ROOT / "docs"), f"{page}: {link}"
