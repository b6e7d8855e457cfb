"""Clusters whose nodes come and go: killed in mid-sweep and replaced, brought by an autoscaler, let go when idle.

Every node has a pool folder of its own, so a node that came later has really filled its pool.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from small_clusters import SmallCluster, Watch
from small_sweeps import Place, place, table_of, wait_until

from fasray.runs.events import ENDED, Placed, Reported, Suggested, trials_of

LONG = """
name: long
data: {data}
protocols: [O&C->I, O&M->I]
methods: {{erm: {{space: {{learning_rate: {{loguniform: [0.001, 0.03]}}}}}}}}
search: {{algorithm: random, trials_per_cell: 2, seed: 100}}
scheduler: fifo
confirm: {{seeds: [0, 1]}}
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 600, evaluations: 20}}
"""
"""Eight trials of many seconds."""
SHORTER = LONG.replace("steps: 600, evaluations: 20", "steps: 180, evaluations: 6")
PAIRS = """
name: pairs
data: {data}
protocols: [O&C->I]
methods: {{erm: {{space: {{learning_rate: {{choice: [0.03, 0.01]}}}}}}}}
search: {{algorithm: grid}}
scheduler: fifo
confirm: {{seeds: [0]}}
training: {{profile: quick, image_size: 32, width: 0.125, steps: 64, evaluations: 8, images: 2}}
resources: {{workers: 2}}
"""
"""Three trials of two workers each."""


def on(cluster: SmallCluster, faces: Path, folder: Path, text: str, **environment: str) -> Place:
    return place(folder, faces, text, **cluster.client, **environment)


def decoded(cards: list[Path]) -> list[int]:
    return [json.loads(card.read_text())["decoded"] for card in cards]


def held(here: Place) -> int:
    """Number of trials that are running and have been evaluated at least once."""
    return sum(record.status == "running" and bool(record.steps) for record in trials_of(here.events()).values())


def sorted_table(here: Place) -> pd.DataFrame:
    """The result table, whichever cell came to its confirming runs first."""
    by = ["method", "protocol", "selection", "threshold_rule", "level"]
    return table_of(here.run_folder).sort_values(by).reset_index(drop=True)


def nothing_failed_or_was_done_twice(here: Place) -> None:
    events = here.events()
    assert {record.status for record in trials_of(events).values()} == {"done"}
    suggested = [event.trial for event in events if isinstance(event, Suggested)]
    assert len(suggested) == len(set(suggested))
    results = [(event.trial, event.step) for event in events if isinstance(event, Reported)]
    assert len(results) == len(set(results))


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_node_is_killed_while_trials_hold_every_cpu_and_its_replacement_fills_its_pool(
    small_faces: Path, tmp_path: Path
) -> None:
    calm = place(tmp_path / "calm", small_faces, LONG)
    assert calm.drive().code == 0
    with SmallCluster(tmp_path / "cluster") as cluster:
        cluster.add("first")
        cluster.add("second")
        here = on(cluster, small_faces, tmp_path / "hurt", LONG)
        with here.start() as driver:
            driver.until(lambda: held(here) == 3)
            cluster.kill("second")
            ended = sum(record.status in ENDED for record in trials_of(here.events()).values())
            cluster.add("third")
            ran = driver.end(seconds=400)
        assert ran.code == 0, ran.err
        for node in ("head", "first", "third"):
            assert decoded(cluster.pool_cards(node)) == [480], node
    assert ended == 0, "it was killed in the middle of the first trials"
    nothing_failed_or_was_done_twice(here)
    assert_frame_equal(sorted_table(here), sorted_table(calm), check_exact=True)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_a_trial_of_several_workers_goes_on_when_the_node_of_one_has_been_replaced(
    small_faces: Path, tmp_path: Path
) -> None:
    calm = place(tmp_path / "calm", small_faces, PAIRS)
    with calm.start() as driver:
        assert driver.end(seconds=500).code == 0
    with SmallCluster(tmp_path / "cluster", cpus=0) as cluster:
        cluster.add("first")
        cluster.add("second")
        here = on(cluster, small_faces, tmp_path / "hurt", PAIRS)
        with here.start() as driver:
            driver.until(lambda: held(here) == 1, 300)
            cluster.kill("second")
            cluster.add("third")
            ran = driver.end(seconds=600)
        assert ran.code == 0, ran.err
        assert decoded(cluster.pool_cards("third")) == [480]
    nothing_failed_or_was_done_twice(here)
    assert_frame_equal(sorted_table(here), sorted_table(calm), check_exact=True)


@pytest.fixture(scope="module")
def autoscaled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallCluster]:
    """A head without a CPU, and up to two nodes of one CPU, which go when they have been idle for twelve seconds."""
    with SmallCluster(tmp_path_factory.mktemp("autoscaled"), cpus=0, most_nodes=2) as cluster:
        yield cluster


def drive_from_zero(cluster: SmallCluster, here: Place) -> list[int]:
    """Run a sweep on a cluster that has no worker; return the numbers of nodes that it had until the last one left."""
    wait_until(lambda: cluster.raylets() == 1, 60)
    with Watch(cluster) as watch:
        with here.start() as driver:
            ran = driver.end(seconds=500)
        assert ran.code == 0, ran.err
        assert "waiting for nodes from the autoscaler" in ran.err
        wait_until(lambda: watch.seen[-1:] == [1], 120)
    return watch.seen


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_zero_a_sweep_makes_nodes_appear_and_idle_they_go(
    autoscaled: SmallCluster, small_faces: Path, tmp_path: Path
) -> None:
    here = on(autoscaled, small_faces, tmp_path, SHORTER, FASRAY_CLUSTER_FILE=str(autoscaled.file))
    seen = drive_from_zero(autoscaled, here)
    assert (seen[0], max(seen), seen[-1]) == (1, 3, 1), seen
    nothing_failed_or_was_done_twice(here)
    assert all(decoded(autoscaled.pool_cards(node)) == [480] for node in ("1", "2")), "each filled its pool"
    assert not autoscaled.pool_cards("head"), "the head, which trains nothing, has none"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_zero_a_sweep_that_says_nothing_of_resources_brings_the_gpus_that_the_cluster_file_promises(
    small_faces: Path, tmp_path: Path
) -> None:
    with SmallCluster(tmp_path / "cluster", cpus=1, most_nodes=2, gpus=1) as cluster:
        here = on(cluster, small_faces, tmp_path / "sweep", SHORTER, FASRAY_CLUSTER_FILE=str(cluster.file),
                  FASRAY_LOGICAL_GPUS="1")  # fmt: skip
        seen = drive_from_zero(cluster, here)
    assert (seen[0], max(seen), seen[-1]) == (1, 3, 1), seen
    nothing_failed_or_was_done_twice(here)
    assert {(event.gpus, event.cpus) for event in here.events() if isinstance(event, Placed)} == {(1.0, 1.0)}
    readings = [event for event in here.events() if isinstance(event, Reported)]
    assert all(event.gpu_seconds for event in readings), "none ran on the head, which has a core to spare"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_zero_workers_of_one_trial_bring_their_nodes_though_the_limits_are_not_known(
    autoscaled: SmallCluster, small_faces: Path, tmp_path: Path
) -> None:
    here = on(autoscaled, small_faces, tmp_path, PAIRS, HOME=str(tmp_path))
    seen = drive_from_zero(autoscaled, here)
    assert (seen[0], max(seen), seen[-1]) == (1, 3, 1), seen
    nothing_failed_or_was_done_twice(here)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_the_full_cluster_could_not_place_is_refused_and_no_node_comes(
    autoscaled: SmallCluster, small_faces: Path, tmp_path: Path
) -> None:
    wait_until(lambda: autoscaled.raylets() == 1, 60)
    here = on(autoscaled, small_faces, tmp_path, LONG, FASRAY_CLUSTER_FILE=str(autoscaled.file))
    with Watch(autoscaled) as watch:
        refused = here.drive("--set", "resources.cpus_per_worker=2")
    assert refused.code == 2, refused.err
    assert "one trial needs 2 CPUs; there is room for at most 0 of 1 workers" in refused.err
    assert watch.seen == [1]
