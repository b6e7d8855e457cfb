"""SIGKILL, SIGINT and SIGTERM to the driver of trials with two workers each, on a private Ray and on a cluster.

Nothing may stay that holds a CPU: the next driver would wait for it for ever.
"""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal
from ray_head import Held, RayHead
from small_sweeps import SMALL, Place, Ran, place, score_digests, table_of

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3000)]

TWO_WORKERS = (
    SMALL.replace("[O&C->I, O&M->I]", "[O&C->I]")
    .replace("  safas: {{space: {{learning_rate: {{loguniform: [0.001, 0.03]}}}}}}\n", "")
    .replace("evaluations: 4", "evaluations: 4, images: 2")
    .replace("{{max_concurrent: 1}}", "{{workers: 2}}")
)
"""One cell, two searching and two confirming trials, each of which takes the whole machine."""
PATIENCE = 900
"""Seconds; each trial starts half a dozen processes one after another, which takes minutes where others are busy."""
NOTHING = Held(groups=0, actors=[], cpus_free=2.0)
BLOWS = (
    (signal.SIGKILL, 1),  # the first trial's processes are being started
    (signal.SIGKILL, 2),
    (signal.SIGINT, 2),
    (signal.SIGTERM, 1),
    (signal.SIGTERM, 2),
    (signal.SIGKILL, 2),
)
"""Signal, and how many suggestions and results its driver has logged by then."""


@dataclass
class Storm:
    place: Place
    ended: list[tuple[signal.Signals, Ran]] = field(default_factory=list)
    left: list[dict[int, str]] = field(default_factory=list)
    """Processes that were still there after each blow and the time they may take."""
    held: list[Held] = field(default_factory=list)
    """What a cluster still counted as held."""
    last: Ran = Ran(-1, "", "")


@pytest.fixture(scope="module")
def calm(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    here = place(tmp_path_factory.mktemp("calm"), small_faces, TWO_WORKERS)
    with here.start() as driver:
        ran = driver.end(seconds=PATIENCE)
    assert ran.code == 0, ran.err
    return here


def endure(storm: Storm, left: Callable[[], dict[int, str]], held: Callable[[], Held]) -> None:
    for number, events in BLOWS:
        with storm.place.start() as driver:
            driver.until_new_events(events, PATIENCE)
            storm.ended.append((number, driver.end(number, 60)))
        storm.left.append(left())
        storm.held.append(held())
    with storm.place.start() as driver:
        storm.last = driver.end(seconds=PATIENCE)


@pytest.fixture(scope="module", params=["private", "cluster"])
def storm(request: pytest.FixtureRequest, calm: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    here = place(tmp_path_factory.mktemp(request.param), calm.data, TWO_WORKERS)
    seen = Storm(here)
    if request.param == "private":
        endure(seen, lambda: here.processes(wait=120), lambda: NOTHING)
        yield seen
        return
    with RayHead(here.folder / "head", here.env) as head:
        seen.place = replace(here, env=head.client)
        endure(seen, lambda: head.at_work(wait=30), head.held)
        yield seen


def test_it_goes_on_to_the_table_and_scores_of_an_undisturbed_run(storm: Storm, calm: Place) -> None:
    assert storm.last.code == 0, storm.last.err
    assert_frame_equal(table_of(storm.place.run_folder), table_of(calm.run_folder), check_exact=True)
    ours, theirs = (score_digests(here.run_folder) for here in (storm.place, calm))
    assert {name: digest for name, (digest, _) in ours.items()} == {n: digest for n, (digest, _) in theirs.items()}


def test_a_signal_ends_it_within_seconds_with_code_6_and_how_to_go_on(storm: Storm) -> None:
    signalled = [ended for number, ended in storm.ended if number != signal.SIGKILL]
    assert len(signalled) == 3
    for ended in signalled:
        assert ended.code == 6, ended.err
        assert ended.seconds < 10
        assert ended.err.splitlines()[-1] == "  -> run the same command again to resume"
        assert "Traceback" not in ended.err


def test_no_process_stays_behind(storm: Storm) -> None:
    assert storm.left == [{}] * len(BLOWS)


def test_no_placement_group_or_actor_of_a_dead_driver_holds_a_cpu(storm: Storm) -> None:
    assert storm.held == [NOTHING] * len(BLOWS)


def test_the_next_driver_finds_room_at_once(storm: Storm) -> None:
    assert all("waiting: other jobs" not in ended.err for _, ended in [*storm.ended, (0, storm.last)])
