"""Names that come from data and sweeps are shown in every format and obeyed in none."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from locations import GOLDEN
from score_runs import MadeTrial, make_run

from fasray.cli import cli
from fasray.results.frame import results_frame
from fasray.results.tables import export, latex
from fasray.results.tables import text as tables
from fasray.results.tables.escape import csv_word, markdown, plain
from fasray.results.tables.escape import latex as in_latex

NAMES = (
    "<script>alert(1)</script>",
    "=cmd()",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\uff1dcmd()",
    r"\input{secret}",
    "a|b",
    "[x](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "`code` *bold* __more__",
    "&lt;b&gt;",
    "\x1b[2Jgone\x07",
    "\u202egnp.exe",
    "line\nbreak",
)


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    trials = [MadeTrial(f"t{number}", variant=name) for number, name in enumerate(NAMES)]
    return results_frame(make_run(tmp_path_factory.mktemp("hostile"), trials), ["source-dev", "oracle"])


def test_no_cell_of_the_csv_is_a_formula(frame: pd.DataFrame) -> None:
    rows = list(csv.DictReader(io.StringIO(export.to_csv(frame))))
    assert len(rows) == len(frame)
    words = [value for row in rows for value in row.values() if not re.fullmatch(r"-?[\d.e-]*", value)]
    assert words
    assert not [word for word in words if word.lstrip(" ")[:1] in set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")]
    assert {row["variant"].removeprefix("'") for row in rows} == set(map(plain, NAMES))


def test_numbers_below_zero_stay_numbers(frame: pd.DataFrame) -> None:
    below = frame.assign(optimism_gap=-0.125)
    assert {row["optimism_gap"] for row in csv.DictReader(io.StringIO(export.to_csv(below)))} == {"-0.125"}
    assert csv_word("-") == "-"


def test_a_formula_in_a_header_is_quoted_too(frame: pd.DataFrame) -> None:
    assert export.to_csv(frame[["method"]].rename(columns={"method": "=cmd()"})).startswith("'=cmd()\n")


def test_markdown_holds_no_markup_and_one_line_a_row(frame: pd.DataFrame) -> None:
    text = tables.to_markdown(tables.grid(frame))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(NAMES)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1
    assert "<" not in text
    assert "](" not in text.replace("\\](", "")
    assert not re.search(r"(?<!\\)[`*]", text)
    assert markdown("hfn_mp O&C&I->M") == "hfn_mp O&C&I->M"


def test_the_terminal_gets_no_control_character(frame: pd.DataFrame) -> None:
    text = tables.to_text(tables.grid(frame))
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "\\x1b[2Jgone\\x07" in text
    assert plain("\u202egnp.exe") == "\\u202egnp.exe"


def test_latex_holds_no_command_of_theirs(frame: pd.DataFrame) -> None:
    text = latex.to_latex(frame)
    assert "\\input" not in text
    assert "\\textbackslash{}input\\{secret\\}" in text
    assert all(" " <= character <= "~" or character == "\n" for character in text)
    assert in_latex("a_b%c&d#e$f{g}h~i^j\\k") == (
        r"a\_b\%c\&d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k"
    )
    assert in_latex("O&C&I->M") == r"O\&C\&I$\rightarrow$M"
    assert in_latex("a--b") == "a-{}-b"


def test_json_gives_the_names_back_and_is_plain_ascii(frame: pd.DataFrame) -> None:
    text = export.to_json(frame)
    assert text.isascii()
    assert "\x1b" not in text
    assert {row["variant"] for row in json.loads(text)} == set(NAMES)


@pytest.mark.parametrize("kind", ["table", "md", "csv", "json", "latex"])
def test_a_hostile_sweep_is_harmless_on_the_command_line(tmp_path: Path, kind: str) -> None:
    frozen = GOLDEN / "frozen_sweep" / "run"
    run = tmp_path / "run"
    shutil.copytree(frozen, run)
    log = (run / "events.jsonl").read_text()
    (run / "events.jsonl").write_text(log.replace('"no separability"', json.dumps("\x1b[2J=cmd()")))
    said = CliRunner().invoke(cli, ["results", str(run), "--format", kind], catch_exceptions=False)
    assert said.exit_code == 0
    assert "=cmd()" in said.output
    assert "\x1b" not in said.output
