"""No figure of a target in any byte that the server sends, before the target's cell is confirmed."""

import math
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from made_runs import Size, write_run
from watching import Page, Seen, watching, write_log

from fasray.results.load import load_evaluations, load_results
from fasray.runs.event_log import read_events
from fasray.runs.events import Event

EARLY, LATE = "C&M->I", "I&M->C"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with target scores of every trial, searching ones too."""
    folder = tmp_path_factory.mktemp("sealed") / "run"
    write_run(folder, Size(methods=["erm"], protocols=[EARLY, LATE], searched=3, seeds=[0, 1], evaluations=3))
    stored = yaml.safe_load((folder / "sweep.yaml").read_text())
    stored["sweep"]["confirm"] = {"seeds": [0, 1]}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(stored))
    return folder


@pytest.fixture
def growing(finished: Path, tmp_path: Path) -> tuple[Path, list[Event]]:
    """The same without its last event, by which the second cell is confirmed; and that event."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    events = read_events(str(folder))
    (folder / "events.jsonl").unlink()
    write_log(folder, events[:-1])
    return folder, events[-1:]


def target_figures(run: Path, protocol: str) -> set[str]:
    """Every figure of a target, of every evaluation and rule, as it could be written: four digits at least."""
    frames: list[pd.DataFrame] = [load_evaluations(str(run)), load_results(str(run))]
    rates = ("hter", "auc", "eer", "acer", "apcer", "bpcer")
    names = ("target_hter", "target_auc", "target_eer", "target_threshold", *rates)
    found: set[str] = set()
    for frame in frames:
        rows = frame[frame["protocol"] == protocol]
        values = {float(v) for name in names if name in rows for v in rows[name] if not math.isnan(v)}
        for value in values:
            for text in (f"{value:.5f}", f"{100 * value:.3f}"):
                digits = text.rstrip("0")
                if len(digits.replace(".", "").lstrip("0")) >= 4:
                    found.add(digits[:-1] if len(digits.replace(".", "").lstrip("0")) > 4 else digits)
    return found


def everything(page: Page) -> None:
    """Ask for all that there is."""
    page.received = b""
    for view in page.json("/api/runs"):
        for cell in view["cells"]:
            page.json(f"/api/runs/0/cells/{cell['number']}")
        for trial in view["trials"]:
            page.json(f"/api/runs/0/trials/{trial[0]}")
    for path in ("/", "/page/watch.js", "/page/draw.js", "/page/watch.css"):
        page.ask(path)


def figures_in(content: bytes, figures: set[str]) -> set[str]:
    numbers = re.findall(rb"\d+\.\d+", content)
    return {text for text in figures if any(number.startswith(text.encode()) for number in numbers)}


def test_no_target_figure_before_the_cell_is_confirmed(finished: Path, growing: tuple[Path, list[Event]]) -> None:
    run, last = growing
    early, late = target_figures(finished, EARLY), target_figures(finished, LATE)
    late -= early
    assert len(late) > 40
    with watching(run) as page:
        changes, seen = page.changes([0]), Seen()
        while not seen.summary or not seen.summary["targets"]:
            seen.take(next(changes)[1])
        everything(page)
        assert [cell["phase"] for cell in seen.cells.values()] == ["confirmed", "confirming"]
        assert seen.summary["targets"][0][0] == 0
        assert len(seen.summary["targets"]) == 1
        assert figures_in(page.received, late) == set()
        assert figures_in(page.received, early)  # what is confirmed is shown, so that the test would see the rest
        write_log(run, last)
        while len(seen.summary["targets"]) < 2:
            assert figures_in(page.received, late) == set()
            seen.take(next(changes)[1])
        everything(page)
        shown = figures_in(page.received, late)
    honest = load_results(str(finished), ["source-dev"])
    row = honest[(honest["protocol"] == LATE) & (honest["level"] == "video")].iloc[0]
    (figures,) = dict(seen.summary["targets"])[1]
    assert (figures["protocol"], figures["seeds"], figures["name"]) == (LATE, 2, "hter")
    assert figures["error"] == pytest.approx(row["hter"], abs=1e-5)
    assert figures["auc"] == pytest.approx(row["auc"], abs=1e-5)
    assert shown


def test_score_files_of_what_is_not_confirmed_are_not_even_read(growing: tuple[Path, list[Event]]) -> None:
    run, _ = growing
    for event in read_events(str(run)):
        if getattr(event, "protocol", "") == LATE or getattr(event, "stage", "") == "search":
            for file in (run / "trials" / event.trial).glob("eval-*"):
                file.write_bytes(b"no score file")
    with watching(run) as page:
        changes, seen = page.changes([0]), Seen()
        while not seen.summary or not seen.summary["targets"]:
            seen.take(next(changes)[1])
    assert isinstance(seen.summary["targets"][0][1], list)


def test_a_confirmed_cell_whose_scores_are_gone_says_so(finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("trials"))
    with watching(run) as page:
        changes, seen = page.changes([0]), Seen()
        while len(seen.summary.get("targets", ())) < 2:
            seen.take(next(changes)[1])
    assert {words for _, words in seen.summary["targets"]} == {"no such file"}
    assert str(tmp_path).encode() not in page.received
