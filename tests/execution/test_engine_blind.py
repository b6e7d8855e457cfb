"""The target stays unseen: with random labels on it, nothing changes but what is said of it at the end."""

import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from small_sweeps import COST, Place, place, rewritten, table_of

from fasray.results import figures

pytestmark = pytest.mark.timeout(600)

FIGURES = [name for name in figures.FIGURES if name != "source_dev_auc"]
INTERVALS = ["hter_lower", "hter_upper", "auc_lower", "auc_upper"]
OF_THE_TARGET = [*FIGURES, *(f"{name}_std" for name in FIGURES), *INTERVALS, "optimism_gap", "optimism_gap_auc"]
KINDS = ("label", "attack_type", "instrument")


def random_target_labels(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Deal the labels of domain I's videos anew; everything else stays."""
    kind_of = {row["video"]: tuple(row[name] for name in KINDS) for row in records if row["domain"] == "I"}
    kinds = list(kind_of.values())
    random.Random(5).shuffle(kinds)
    dealt = dict(zip(kind_of, kinds, strict=True))
    changed = [
        row | dict(zip(KINDS, dealt[row["video"]], strict=True)) if row["domain"] == "I" else row for row in records
    ]
    assert sum(a["label"] != b["label"] for a, b in zip(changed, records, strict=True)) > 20
    return changed


@pytest.fixture(scope="module")
def blind(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("blind")
    here = place(folder, rewritten(small_faces, folder / "faces", random_target_labels))
    ran = here.drive()
    assert ran.code == 0, ran.err
    return here


def story(here: Place) -> list[dict[str, Any]]:
    """The log; a trial is known by its place in it, for its id is that of the data."""
    number: dict[str, int] = {}
    lines = []
    for event in here.events():
        if event.event in ("opened", "closed"):
            continue
        line = event.model_dump(exclude=COST)
        line["trial"] = number.setdefault(line["trial"], len(number))
        lines.append(line)
    return lines


def test_suggestions_results_decisions_and_winners_do_not_change(blind: Place, finished) -> None:
    told = story(blind)
    assert {"suggested", "reported", "won"} == {line["event"] for line in told}
    assert told == story(finished.place)


def test_honest_rows_of_the_table_change_in_target_columns_only(blind: Place, finished) -> None:
    random_labels, true_labels = (table.loc[~table.oracle] for table in map(result, (blind, finished.place)))
    assert_frame_equal(random_labels.drop(columns=OF_THE_TARGET), true_labels.drop(columns=OF_THE_TARGET))
    assert not random_labels.auc.equals(true_labels.auc)


def result(here: Place) -> pd.DataFrame:
    return table_of(here.run_folder).drop(columns="trials")
