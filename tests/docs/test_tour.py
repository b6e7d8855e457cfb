"""The tour through README and documentation: every command is run as shown, in order, and prints what is shown.

Shown and printed text are compared line by line; ``...`` stands for lines left out. An id or hash may be another one,
and is then taken over into the commands that follow. Runs of blanks may have other lengths. Figures with a decimal
point, the steps that a rule picked and the numbers in file names may differ, for a machine with other arithmetic, or
trials that arrive in another order, give others; in blocks marked ``exact`` they may not. A command that is shown
again is not run again: what it printed is compared with what is shown there.

``make test`` takes a short cut: a quickstart of one cell, small faces and few steps, where whole numbers and decisions
may differ too and what is shown of other cells is left out, and of the second sweep only its plan. ``make test-all``
walks the tour as it stands.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import pytest
from locations import ROOT

PAGES = (
    "README.md",
    *(f"docs/tutorial/{name}.md" for name in ("first-table", "your-own-sweep")),
    *(f"docs/how-to/{name}.md" for name in ("evaluate-a-score-file", "score-and-export", "paper-table")),
)
"""In the order of the tour."""
PICTURES = ROOT / "docs" / "pictures"
_BLOCK = re.compile(r"<!-- (tour|tour: exact|quickstart table) -->\n```\w*\n(.*?)```", re.DOTALL)
_TOKEN = re.compile(
    r"(?P<id>(?<![\w.])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{16}|[0-9a-f]{12})(?![\w]))"
    r"|(?P<blanks> {2,}|(?<=[│|]) +)|(?P<rules>-{3,})"
    r"|(?P<decimal>[-+]?\d+\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+)"
    r"|(?P<step>(?<=step )\d+|(?<=step-)\d{8}|(?<=eval-)\d{8})|(?P<whole>\d+)"
    r"|(?P<verdict>(?<=\d  )(?:live|attack)\b)|(?P<other>.)"
)
_DECIMAL = r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"


@dataclass(frozen=True)
class Cell:
    """A cell of the quickstart."""

    method: str
    protocol: str

    def of(self, line: str) -> bool:
        """Whether a line tells of this cell, or of none."""
        protocols = set(re.findall(r"(?<!\S)\(?(\w(?:&\w){2}->\w)", line))
        return protocols <= {self.protocol} and not re.match(rf"(?!{self.method})(?:erm|safas) ", line)


ONE_CELL = Cell("safas", "O&C&I->M")
"""The one that the tour asks ``why`` of."""


@dataclass(frozen=True)
class Stop:
    """A command of the tour and what it prints, line by line."""

    command: str
    shown: tuple[str, ...]
    exact: bool


def stops() -> Iterator[Stop]:
    """Read the tour off the pages; the quickstart's table is among what the block of ``make demo`` leaves out."""
    for page in PAGES:
        yield from _stops((ROOT / page).read_text(encoding="utf-8"))


def _stops(page: str) -> Iterator[Stop]:
    blocks = _BLOCK.findall(page)
    table = [line for kind, text in blocks if kind == "quickstart table" for line in text.splitlines()]
    for kind, text in blocks:
        lines = [] if kind == "quickstart table" else text.splitlines()
        while lines:
            command = [lines.pop(0).removeprefix("$ ")]
            while lines and lines[0].startswith("> "):
                command.append(lines.pop(0).removeprefix("> "))
            shown = []
            while lines and not lines[0].startswith("$ "):
                shown.append(lines.pop(0))
            if command == ["make demo"]:
                left_out = shown.index("...")
                shown[left_out + 1 : left_out + 1] = table
            yield Stop("\n".join(command), tuple(shown), kind == "tour: exact")


TOUR = list(stops())


@dataclass
class Walk:
    """A folder in which the tour is walked; ids as they are here by ids as they are shown."""

    folder: Path
    whole: bool
    """Whether the quickstart is the real one: all cells are there, and whole numbers are the shown ones."""
    data: str = ""
    """What stands for ``synthetic`` in the quickstart; empty for itself."""
    ids: dict[str, str] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    """By the command as it was run."""

    def do(self, stop: Stop) -> None:
        """Run a command and hold what it prints against what is shown."""
        command = stop.command
        for shown, here in self.ids.items():
            command = command.replace(shown, here)
        if command not in self.printed:
            self.printed[command] = self._run(command)
        printed = self.printed[command].replace(self.data, "synthetic") if self.data else self.printed[command]
        if stop.exact:
            assert printed == "".join(f"{line}\n" for line in stop.shown), command
            return
        found = re.fullmatch("".join(map(self._pattern, stop.shown)), printed)
        assert found, f"$ {command}\nis shown to print:\n" + "\n".join(stop.shown) + f"\nand prints:\n{printed}"
        shown_ids = [match[0] for line in stop.shown for match in _TOKEN.finditer(line) if match.lastgroup == "id"]
        self.ids.update(zip(shown_ids, found.groups(), strict=True))

    def _pattern(self, line: str) -> str:
        if line == "..." or not (self.whole or ONE_CELL.of(line)):
            return r"(?:.*\n)*?"
        looser: dict[str, Callable[[str], str]] = {
            "id": lambda text: f"([0-9a-f]{{{len(text)}}})",
            "blanks": lambda text: " +",
            "rules": lambda text: "-+",
            "decimal": lambda text: _DECIMAL,
            "step": lambda text: r"\d+",
        }
        if not self.whole:
            looser |= {"whole": lambda text: r"\d+", "verdict": lambda text: r"\w+"}
        parts = [(match.lastgroup or "", match[0]) for match in _TOKEN.finditer(line)]
        return "".join(looser.get(kind, re.escape)(text) for kind, text in parts) + "\n"

    def _run(self, command: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_", "MAKE"))}
        env = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "FASRAY_POOL_DIR": str(self.folder / "pools"),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",  # the order of a terminal
        }
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.folder / "here", env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
        )  # fmt: skip
        assert ran.returncode == 0, f"$ {command}\n{ran.stdout}"
        return ran.stdout


def prepared(folder: Path) -> Path:
    """Make the folder in which the commands run, with what a checkout has that they name."""
    here = folder / "here"
    shutil.copytree(ROOT / "sweeps", here / "sweeps")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (here / name).symlink_to(ROOT / name)
    (here / ".venv").mkdir()
    (here / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (here / ".venv" / "installed").touch()  # the environment is this one, and make leaves it as it is
    return here


def same_picture(one: Path, other: Path) -> bool:
    """Whether two JPEG files show the same; another version may compress otherwise."""
    first, second = cv2.imread(str(one)), cv2.imread(str(other))
    assert first is not None
    assert second is not None
    return first.shape == second.shape and float(cv2.absdiff(first, second).mean()) < 2


def test_it_goes_from_the_demo_to_a_paper_table() -> None:
    said = "\n".join(stop.command for stop in TOUR)
    assert TOUR[0].command == "make demo"
    for command in ("results", "why", "verify", "report", "plan", "sweep", "metrics", "score", "export"):
        assert f"fasray {command} " in said, command
    for command in ("synth", "stats", "preview"):
        assert f"fasray data {command} " in said, command
    assert "--format latex --published" in said
    marked = [page for page in (ROOT / "docs").rglob("*.md") if "<!-- tour" in page.read_text(encoding="utf-8")]
    assert {page.relative_to(ROOT).as_posix() for page in marked} == {*PAGES[1:], "docs/how-to/develop.md"}


@pytest.mark.timeout(900)
def test_the_short_cut_prints_what_is_shown(tmp_path: Path, small_faces: Path) -> None:
    here = prepared(tmp_path)
    quickstart = here / "sweeps" / "quickstart.yaml"
    text = quickstart.read_text(encoding="utf-8")
    for said, small in (
        ("data: synthetic", f"data: {small_faces}"),
        ("protocols: [ocim]", f"protocols: [{ONE_CELL.protocol}]"),
        ("  erm: {}\n", ""),
        ("{profile: quick}", "{profile: smoke, image_size: 32}"),
    ):
        assert said in text
        text = text.replace(said, small)
    quickstart.write_text(text, encoding="utf-8")
    walk = Walk(tmp_path, whole=False, data=str(small_faces))
    for stop in TOUR:
        if not stop.command.startswith("fasray sweep "):
            walk.do(stop)
    assert same_picture(here / "faces.jpg", PICTURES / "faces.jpg")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_command_of_the_tour_prints_what_is_shown(tmp_path: Path) -> None:
    here = prepared(tmp_path)
    walk = Walk(tmp_path, whole=True)
    for stop in TOUR:
        walk.do(stop)
    assert same_picture(here / "faces.jpg", PICTURES / "faces.jpg")
    assert same_picture(here / "plots" / "honest-against-oracle.png", PICTURES / "honest-against-oracle.png")
