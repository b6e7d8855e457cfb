"""``ray job submit -- fasray sweep`` on a real head: refused, stopped, killed, submitted again; same end as at home."""

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from locations import ROOT
from object_store import BUCKET, ObjectStore
from pandas.testing import assert_frame_equal
from ray_head import RayHead, Said
from s3_sweeps import RUN, remote_place, remote_table, score_files
from small_sweeps import SMALL, STARTED, Place, place, score_digests, table_of, wait_until

from fasray import storage
from fasray.runs.events import Opened

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


ONE_CELL = SMALL.replace("[O&C->I, O&M->I]", "[O&C->I]").replace(
    "  safas: {{space: {{learning_rate: {{loguniform: [0.001, 0.03]}}}}}}\n", ""
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""What moves a cursor or changes a colour; a log has lines and, in Ray's own, tabs."""


OVER = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass(frozen=True)
class Job:
    """A job that has ended, and what is left to read of it."""

    status: str
    code: int | None
    log: str
    supervisor: str


@dataclass
class Storm:
    """A sweep that was submitted five times: refused, stopped, killed, ended, and once more when all was done."""

    place: Place
    refused: Job
    stopped: Job
    stop: Said
    killed: Job
    last: Job
    submitted: Said
    """What the last submission itself said and how it ended."""
    again: Job
    packages: set[str]
    """Files of the working directories that the head got."""
    left: dict[int, str]
    secrets: dict[str, list[str]]


def ended(head: RayHead, job: str) -> Job:
    wait_until(lambda: head.info(job)["status"] in OVER, 300)
    about = head.info(job)
    return Job(about["status"], about["driver_exit_code"], head.log(job), head.supervisors_log(job))


def until_new_events(here: Place, head: RayHead, job: str, count: int) -> None:
    """Wait until the job's own driver has logged so many suggestions and results."""
    drivers = sum(isinstance(event, Opened) for event in here.events())

    def logged() -> int:
        events = here.events()
        opened = [number for number, event in enumerate(events) if isinstance(event, Opened)]
        return -1 if len(opened) <= drivers else sum(event.event in STARTED for event in events[opened[-1] :])

    wait_until(lambda: logged() >= count or head.info(job)["status"] in OVER, 300)
    assert head.info(job)["status"] not in OVER, head.log(job)


def holding(texts: Iterator[tuple[str, bytes]], *secrets: str) -> dict[str, list[str]]:
    """Names of the texts that hold each secret; under ``all`` those that were looked at."""
    found: dict[str, list[str]] = {"all": [], **{secret: [] for secret in secrets}}
    for name, text in texts:
        found["all"].append(name)
        for secret in secrets:
            if secret.encode() in text:
                found[secret].append(name)
    return found


def files_below(*folders: Path) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield str(path), path.read_bytes()


def project_of(here: Place) -> Path:
    """A working directory like this repository: sweeps, and what nobody wants to send anywhere."""
    project = here.folder / "project"
    for name in ("sweeps/tiny.yaml", ".venv/lib/large.bin", "runs/old/events.jsonl", ".git/config"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(here.sweep.read_text() if name.endswith(".yaml") else name)
    (project / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
    return project


@pytest.fixture(scope="module")
def storm(finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    here = place(tmp_path_factory.mktemp("jobs"), finished.place.data)
    project = project_of(here)
    with RayHead(here.folder / "head", here.env) as head:
        to: tuple[str | Path, ...] = ("--out", here.run_folder)

        def submit(job: str, *arguments: str | Path, options: tuple[str, ...] = ("--no-wait",)) -> Said:
            asked: tuple[str | Path, ...] = ("--working-dir", project, "--submission-id", job, *options)
            return head.job("submit", *asked, "--", "fasray", "sweep", "sweeps/tiny.yaml", *arguments, timeout=400)

        submit("refused")
        refused = ended(head, "refused")
        submit("stopped", *to)
        until_new_events(here, head, "stopped", 4)
        stop = head.job("stop", "stopped")
        stopped = ended(head, "stopped")
        submit("killed", *to)
        until_new_events(here, head, "killed", 4)
        for process, command in head.processes("fasray sweep").items():
            if "/sh" not in command.split()[0]:
                os.kill(process, signal.SIGKILL)
        killed = ended(head, "killed")
        submitted = submit("last", *to, options=())
        last = ended(head, "last")
        submit("again", *to)
        again = ended(head, "again")
        packages = head.logs.glob("session_*/runtime_resources/working_dir_files/_ray_pkg_*/**/*")
        names = {str(path).split("_ray_pkg_")[1].split("/", 1)[1] for path in packages if path.is_file()}
        left = head.at_work(wait=10)
        secrets = holding(files_below(head.logs, here.folder), head.token)
        yield Storm(here, refused, stopped, stop, killed, last, submitted, again, names, left, secrets)


def test_stopped_and_killed_jobs_submitted_again_end_with_the_table_of_an_undisturbed_run(
    storm: Storm, finished
) -> None:
    assert storm.last.status == "SUCCEEDED", storm.last.log
    assert storm.submitted.code == 0
    assert_frame_equal(table_of(storm.place.run_folder), table_of(finished.place.run_folder), check_exact=True)
    ours, theirs = (score_digests(here.run_folder) for here in (storm.place, finished.place))
    assert {name: digest for name, (digest, _) in ours.items()} == {n: digest for n, (digest, _) in theirs.items()}


def test_the_jobs_log_ends_with_the_table(storm: Storm, finished) -> None:
    assert finished.ran.out in storm.last.log
    assert storm.last.log.splitlines()[-1] == f"wrote {storm.place.run_folder}/report.html"
    assert "all 16 trials of this run are done already" in storm.again.log
    assert storm.again.status == "SUCCEEDED"
    assert finished.ran.out in storm.again.log


def test_a_stop_leaves_by_itself_within_the_three_seconds_that_ray_grants(storm: Storm) -> None:
    assert storm.stopped.status == "STOPPED"
    assert storm.stop.code == 0
    assert "has been terminated gracefully with SIGTERM" in storm.stopped.supervisor
    assert "force-killed" not in storm.stopped.supervisor


def test_a_stopped_jobs_log_says_what_is_saved_and_how_to_go_on(storm: Storm) -> None:
    assert storm.stopped.log.splitlines()[-2:] == [
        f"{storm.place.run_folder}: stopped on request; everything up to each trial's last evaluation is saved",
        "  -> submit the same job again to resume",
    ]
    drivers = [event for event in storm.place.events() if event.event in ("opened", "closed")]
    assert [getattr(event, "status", event.event) for event in drivers] == [
        "opened", "interrupted", "opened", "opened", "complete", "opened", "complete",
    ]  # fmt: skip


def test_a_killed_driver_is_a_failed_job_and_the_next_takes_over(storm: Storm) -> None:
    assert storm.killed.status == "FAILED"
    assert storm.killed.code in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert "taking the run over from process" in storm.last.log


def test_a_run_in_the_copy_of_the_working_directory_is_refused_before_anything_starts(storm: Storm) -> None:
    assert (storm.refused.status, storm.refused.code) == ("FAILED", 2)
    assert storm.refused.log.splitlines()[-2:] == [
        "error: run directory runs/tiny: this run directory is inside the job's copy of its working directory, "
        "which Ray deletes",
        "  -> name a place that outlives the job and that every node sees, an s3:// address or an absolute path on a "
        "shared disk: `ray job submit --working-dir . --runtime-env-json "
        """'{"env_vars": {"FASRAY_RUNS": "s3://BUCKET/runs"}}' -- fasray sweep ...`; """
        "or start the head with FASRAY_RUNS in its environment, for all jobs",
    ]


def test_environment_and_old_runs_are_not_sent(storm: Storm) -> None:
    assert storm.packages == {".gitignore", "sweeps/tiny.yaml"}


def test_no_log_has_control_characters_a_traceback_or_a_half_line(storm: Storm) -> None:
    for job in (storm.refused, storm.stopped, storm.killed, storm.last, storm.again):
        own = job.log.split("Running entrypoint", 1)[1]
        assert not CONTROL.search(own), own
        assert "Traceback" not in own
        assert own.endswith("\n")


def test_nothing_is_left_on_the_head_and_no_file_holds_its_token(storm: Storm) -> None:
    assert storm.left == {}
    assert any(name.endswith("job-driver-last.log") for name in storm.secrets["all"])
    (token,) = (name for name in storm.secrets if name != "all")
    assert storm.secrets[token] == []


@pytest.fixture(scope="module")
def on_a_store(
    finished, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ObjectStore, Job, Job, dict[str, list[str]]]]:
    """Faces and run on an object store, whose keys the head's environment has; stopped, then ended in trainers."""
    folder = tmp_path_factory.mktemp("jobs-s3")
    with (
        remote_place(folder, finished.place.data, ONE_CELL) as (store, here),
        RayHead(folder / "head", here.env) as head,
    ):
        (head.folder / "sweeps").mkdir()
        (head.folder / "sweeps" / "tiny.yaml").write_bytes(here.sweep.read_bytes())
        patient = ("--runtime-env-json", '{"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "15"}}')
        command = (*patient, "--", "fasray", "sweep", "sweeps/tiny.yaml", "--out", RUN)
        head.job("submit", "--no-wait", "--submission-id", "stopped", *command)
        until_new_events(here, head, "stopped", 4)
        head.job("stop", "stopped")
        stopped = ended(head, "stopped")
        assert not storage.exists(storage.join(RUN, "results.parquet"))
        trainers = ("--set", "resources.backend=torchtrainer")
        head.job("submit", "--submission-id", "last", *command, *trainers, timeout=800)
        last = ended(head, "last")
        files = store.files()
        texts = [(name, files.cat_file(name)) for name in files.find(BUCKET)]
        secrets = holding(iter([*texts, *files_below(head.logs, here.folder)]), store.secret, head.token)
        yield store, stopped, last, secrets


def test_with_the_run_on_a_store_a_stopped_job_goes_on_in_trainers_to_the_same_table(on_a_store, finished) -> None:
    _, stopped, last, _ = on_a_store
    assert stopped.status == "STOPPED"
    assert "has been terminated gracefully" in stopped.supervisor
    assert last.status == "SUCCEEDED", last.log
    local = table_of(finished.place.run_folder)
    local = local[(local.method == "erm") & (local.protocol == "O&C->I")].reset_index(drop=True)
    assert_frame_equal(remote_table(RUN), local, check_exact=True)
    files = score_files(RUN)
    trials = finished.place.run_folder / "trials"
    assert files == {name: (trials / name).read_bytes() for name in files} != {}


def test_a_stopped_job_has_let_go_of_the_lease(on_a_store) -> None:
    _, stopped, last, _ = on_a_store
    assert stopped.log.splitlines()[-1] == "  -> submit the same job again to resume"
    assert "taking the run over" not in last.log


def test_no_file_of_ray_or_the_store_holds_a_key(on_a_store) -> None:
    store, _, _, secrets = on_a_store
    assert len(secrets.pop("all")) > 60
    assert store.secret in secrets
    assert all(names == [] for names in secrets.values()), secrets.values()
