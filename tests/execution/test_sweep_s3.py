"""A sweep whose faces and run are on an object store: killed, cut off from its store, gone on with; same end."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from object_store import BUCKET, STRANGER, ObjectStore
from pandas.testing import assert_frame_equal
from s3_sweeps import FACES, RUN, curve_steps, remote_place, remote_table, score_files, until_event_files
from small_sweeps import COST, SMALL, Place, Ran, environment, table_of

from fasray import load_results, load_sweep, run_sweep, storage
from fasray.errors import DataError, FasrayError, SpecError, StorageError
from fasray.faces.sets.verify import verify
from fasray.runs.event_log import read_events
from fasray.runs.events import Event, Opened, Reported, trials_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ONE_CELL = SMALL.replace("[O&C->I, O&M->I]", "[O&C->I]").replace(
    "  safas: {{space: {{learning_rate: {{loguniform: [0.001, 0.03]}}}}}}\n", ""
)
CELL = ("erm", "O&C->I")


@dataclass
class Storm:
    """What was seen of a sweep on a store while driver and store were killed."""

    store: ObjectStore
    place: Place
    killed: int
    """Process id of the killed driver."""
    second: SpecError
    """What a second driver was told that came while the first was at work."""
    before: list[Event]
    """The log as the killed driver left it."""
    last: Ran


@pytest.fixture(scope="module")
def storm(finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    folder = tmp_path_factory.mktemp("s3-storm")
    with remote_place(folder, finished.place.data, ONE_CELL) as (store, here):
        with here.start() as driver:
            until_event_files(driver, 1)
            with pytest.raises(SpecError) as second:
                run_sweep(load_sweep(str(here.sweep)), RUN)
            until_event_files(driver, 3)
            killed = driver.process.pid
            driver.end(signal.SIGKILL)
        before = read_events(RUN)
        with here.start() as driver:
            until_event_files(driver, len(before) + 2)
            store.kill()
            driver.until(lambda: "does not answer" in driver.said())
            store.start()
            last = driver.end()
        yield Storm(store, here, killed, second.value, before, last)


def of_cell(events: list[Event]) -> list[dict[str, object]]:
    """What the log says of the one cell, without what time decides."""
    trials = {trial for trial, record in trials_of(events).items() if (record.method, record.protocol) == CELL}
    about = [
        event
        for event in events
        if getattr(event, "trial", None) in trials
        or (getattr(event, "method", ""), getattr(event, "protocol", "")) == CELL
    ]
    return [event.model_dump(exclude=COST) for event in about]


def test_it_completes_with_the_table_of_an_undisturbed_run_on_a_local_disk(storm: Storm, finished) -> None:
    assert storm.last.code == 0, storm.last.err
    local = table_of(finished.place.run_folder)
    local = local[(local.method == CELL[0]) & (local.protocol == CELL[1])].reset_index(drop=True)
    assert_frame_equal(remote_table(RUN), local, check_exact=True)
    lists = local.map(lambda value: value.tolist() if isinstance(value, np.ndarray) else value)
    assert_frame_equal(load_results(RUN), lists, check_exact=True)


def test_suggestions_results_decisions_and_winner_are_those_of_the_undisturbed_run(storm: Storm, finished) -> None:
    log = of_cell(storm.place.events())
    assert len(log) > 10
    assert log == of_cell(finished.place.events())


def test_every_score_file_has_the_bytes_of_the_undisturbed_run(storm: Storm, finished) -> None:
    files = score_files(RUN)
    assert len(files) == sum(isinstance(event, Reported) for event in storm.place.events())
    trials = finished.place.run_folder / "trials"
    assert files == {name: (trials / name).read_bytes() for name in files}


def test_the_interrupted_trial_went_on_from_its_checkpoint_on_the_store(storm: Storm) -> None:
    (interrupted,) = [record for record in trials_of(storm.before).values() if record.status == "running"]
    reported = interrupted.steps[-1]
    assert reported < interrupted.total_steps
    first, second = curve_steps(storage.join(RUN, "trials", interrupted.id))
    assert reported in first
    assert min(second) > reported


def test_checkpoints_on_the_store_are_the_newest_and_the_best(storm: Storm) -> None:
    for trial, record in trials_of(storm.place.events()).items():
        assert record.best is not None
        kept = {f"step-{step:08d}" for step in (record.steps[-1], record.best.step)}
        names = storage.listing(storage.join(RUN, "trials", trial, "checkpoint"))
        wanted = {f"{name}.{kind}" for name in kept for kind in ("json", "safetensors")}
        assert set(names) == wanted | {f"step-{record.steps[-1]:08d}.optimizer.safetensors"}


def test_a_second_driver_is_refused_and_told_who_the_first_is(storm: Storm) -> None:
    assert storm.second.exit_code == 2
    assert f"driven by process {storm.killed} on " in storm.second.what


def test_a_dead_drivers_lease_is_taken_over_and_said_so(storm: Storm) -> None:
    assert f"taking the run over from process {storm.killed} on " in storm.last.err
    assert [event.pid for event in storm.place.events() if isinstance(event, Opened)][0] == storm.killed


def test_while_the_store_was_down_it_waited_and_said_so_once(storm: Storm) -> None:
    assert storm.last.err.count("does not answer; waiting for it, up to 300 s (FASRAY_STORE_PATIENCE)") == 1
    assert storm.last.err.count("answers again after") == 1
    assert "Traceback" not in storm.last.err
    statuses = {record.status for record in trials_of(storm.place.events()).values()}
    assert statuses <= {"done", "stopped"}


def test_the_faces_on_the_store_are_sound(storm: Storm) -> None:
    assert verify(FACES) == []


def test_no_file_and_no_log_holds_a_secret(storm: Storm) -> None:
    files = storm.store.files()
    names = files.find(BUCKET)
    assert len(names) > 40
    texts = {name: files.cat_file(name) for name in names}
    local = [path for root in (storm.place.folder, storm.place.env["RAY_TMPDIR"]) for path in Path(root).rglob("*")]
    texts |= {str(path): path.read_bytes() for path in local if path.is_file()}
    assert any("session_" in name and name.endswith((".log", ".out", ".err")) for name in texts), "Ray's logs"
    for name, text in texts.items():
        assert storm.store.secret.encode() not in text, name


@pytest.mark.parametrize(
    ("out", "setting", "what"),
    [
        ("s3://no-such-bucket/run", {}, "'no-such-bucket' does not exist"),
        (RUN, {"AWS_SECRET_ACCESS_KEY": "wrong"}, "secret key is not the one"),
        (RUN, {"AWS_ACCESS_KEY_ID": STRANGER}, "do not allow this"),
        (RUN, {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "nothing answers at http://127.0.0.1:9"),
    ],
)
@pytest.mark.timeout(30)
def test_an_out_that_cannot_be_used_is_one_message_at_once(
    storm: Storm, tmp_path: Path, out: str, setting: dict[str, str], what: str
) -> None:
    spec = load_sweep(str(storm.place.sweep), [f"data={storm.place.data}"])
    with environment(setting), pytest.raises(SpecError, match=what) as error:
        run_sweep(spec, out)
    assert error.value.exit_code == 2
    assert error.value.where == f"--out {out}"
    assert error.value.remedy


@pytest.mark.parametrize(
    ("data", "setting", "kind", "what"),
    [
        ("s3://no-such-bucket/faces", {}, StorageError, "'no-such-bucket' does not exist"),
        (FACES, {"AWS_SECRET_ACCESS_KEY": "wrong"}, StorageError, "secret key is not the one"),
        (f"s3://{BUCKET}/nothing", {}, DataError, "nothing at this address"),
    ],
)
@pytest.mark.timeout(30)
def test_faces_that_cannot_be_reached_are_one_message_at_once(
    storm: Storm, tmp_path: Path, data: str, setting: dict[str, str], kind: type[FasrayError], what: str
) -> None:
    spec = load_sweep(str(storm.place.sweep), [f"data={data}"])
    with environment(setting), pytest.raises(kind, match=what) as error:
        run_sweep(spec, str(tmp_path / "run"))
    assert error.value.exit_code == 3
    assert not os.listdir(tmp_path)


def test_the_command_says_it_in_one_line_with_its_remedy(storm: Storm) -> None:
    wrong = Place(storm.place.folder, storm.place.data, {**storm.place.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
    ran = wrong.command("results", RUN)
    assert ran.code == 3
    assert ran.err.splitlines() == [
        f"error: {RUN}: the secret key is not the one of this access key",
        "  -> check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile that AWS_PROFILE names",
    ]
