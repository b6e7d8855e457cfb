"""Trials to which something happens: the sweep goes on, tells which, and what can be saved is."""

from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
from small_sweeps import MISHAPS, Place, Ran, place

from fasray.runs.events import trials_of

pytestmark = pytest.mark.timeout(600)

SWEEP = """
name: mishaps
data: {data}
protocols: [O&C->I]
methods:
  mishaps: {{space: {{accident: {{grid: [none, nan, error, death, always-error]}}}}}}
search: {{algorithm: grid}}
scheduler: fifo
confirm: {{seeds: [0]}}
training: {{profile: quick, image_size: 32, width: 0.125, steps: 8, evaluations: 4, images: 2}}
resources: {{max_concurrent: 1}}
"""


class Accidents:
    """A sweep in which a loss became NaN, a device failed once, an actor died once, and a device failed again."""

    def __init__(self, here: Place, ran: Ran) -> None:
        self.place, self.ran = here, ran
        self.records = {
            str(record.config["accident"]): record
            for record in trials_of(here.events()).values()
            if record.stage == "search"
        }
        lines = (line.split() for line in (here.folder / "steps").read_text().splitlines())
        self.log = [(accident, int(process), int(step)) for accident, process, step in lines]
        self.steps: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for accident, process, step in self.log:
            self.steps[accident][process].append(step)

    def scores(self, accident: str) -> list[list[float]]:
        record = self.records[accident]
        folder = self.place.run_folder / "trials" / record.id
        return [pd.read_parquet(folder / f"eval-{step:08d}.parquet")["score"].tolist() for step in record.steps]


@pytest.fixture(scope="module")
def accidents(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Accidents:
    folder = tmp_path_factory.mktemp("accidents")
    here = place(folder, small_faces, SWEEP, PYTHONPATH=str(MISHAPS), FASRAY_TEST_ACCIDENTS=str(folder))
    return Accidents(here, here.drive())


def test_a_loss_that_is_not_finite_ends_that_trial_as_diverged(accidents: Accidents) -> None:
    record = accidents.records["nan"]
    assert record.status == "diverged"
    assert record.reason == "loss is not a finite number any more"
    assert record.steps == (2, 4)


def test_the_sweep_goes_on_and_ends_with_code_5_naming_what_failed(accidents: Accidents) -> None:
    assert accidents.ran.code == 5
    for accident in ("nan", "always-error"):
        record = accidents.records[accident]
        assert f"trial {record.id} (mishaps, O&C->I, search, seed 100) {record.status}: " in accidents.ran.err
    assert "2 parts of the sweep failed" in accidents.ran.err
    assert "Traceback" not in accidents.ran.err
    assert "mishaps" in accidents.ran.out, "the table of what did finish is printed all the same"


@pytest.mark.parametrize("accident", ["error", "death"])
def test_an_error_discards_the_actor_and_the_trial_goes_on_from_its_checkpoint(
    accidents: Accidents, accident: str
) -> None:
    assert accidents.records[accident].status == "done"
    first, second = accidents.steps[accident].items()
    assert first[1] == [0, 1, 2, 3, 4, 5]
    assert second[1] == [4, 5, 6, 7]
    assert accidents.records[accident].steps == (2, 4, 6, 8)
    after = accidents.log[accidents.log.index((accident, second[0], 4)) :]
    assert first[0] not in {process for _, process, _ in after}


@pytest.mark.parametrize("accident", ["error", "death"])
def test_a_trial_that_was_taken_up_again_has_the_scores_of_one_to_which_nothing_happened(
    accidents: Accidents, accident: str
) -> None:
    assert accidents.scores(accident) == accidents.scores("none")


def test_a_trial_is_retried_once_and_no_more(accidents: Accidents) -> None:
    record = accidents.records["always-error"]
    assert record.status == "failed"
    assert list(accidents.steps["always-error"].values()) == [[0, 1, 2, 3, 4, 5], [4, 5]]


def test_no_reason_in_the_log_names_a_path(accidents: Accidents) -> None:
    assert not [record.reason for record in accidents.records.values() if "/" in record.reason]


def test_the_winner_is_a_trial_that_finished(accidents: Accidents) -> None:
    (confirmed,) = [r for r in trials_of(accidents.place.events()).values() if r.stage == "confirm"]
    assert confirmed.config["accident"] == "none"
    assert confirmed.status == "done"
