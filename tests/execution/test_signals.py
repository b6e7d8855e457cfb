"""A signal ends a process soon, whatever it is doing, and it says how to go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_sweeps import COMMAND, Ran, wait_until

from fasray.errors import SpecError
from fasray.execution.ray_job import check_outlives_job, exit_timeout

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
WAITING = "import signal; print('ready', flush=True); signal.pause()"
DEAF = "import hashlib; print('ready', flush=True); hashlib.pbkdf2_hmac('sha256', b'', b'', 2_000_000_000)"
"""Compiled code that never lets Python's signal handlers run."""
AROUND = """
import sys
from fasray.errors import InterruptedRunError
from fasray.execution.signals import interruptible
try:
    with interruptible("outside", "all is saved"), interruptible("runs/x", "all is saved"):
        {body}
except InterruptedRunError as error:
    sys.stderr.write(str(error))
    sys.exit(error.exit_code)
"""


def processor_ticks(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[11])


def signalled(body: str, number: signal.Signals, busy_ticks: int = 0, **environment: str) -> Ran:
    """Run the body, and send the signal when it is ready and has been busy for so many hundredths of a second."""
    with subprocess.Popen(
        [sys.executable, "-c", AROUND.format(body=body)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        spent = processor_ticks(process.pid)
        wait_until(lambda: processor_ticks(process.pid) >= spent + busy_ticks, 60)
        began = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out, err, time.monotonic() - began)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_at_once_with_code_6_and_says_how_to_go_on(number: signal.Signals) -> None:
    ended = signalled(WAITING, number)
    assert ended.code == 6
    assert ended.err == "runs/x: all is saved\n  -> run the same command again to resume"


def test_in_a_job_even_one_deaf_to_signals_leaves_before_ray_kills_it_and_says_so() -> None:
    ended = signalled(DEAF, signal.SIGTERM, 10, **{JOB: "{}"})
    assert ended.code == 6
    assert ended.err == "runs/x: all is saved\n  -> submit the same job again to resume\n"
    assert ended.seconds < 3, "SIGKILL would have come"


@pytest.mark.parametrize(("wait", "seconds"), [(None, 2.2), ("60", 6.0), ("2", 1.2), ("0", 0.0), ("soon", 2.2)])
def test_time_to_leave_in_a_job_follows_rays_setting(
    wait: str | None, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(JOB, "{}")
    if wait is not None:
        monkeypatch.setenv("RAY_JOB_STOP_WAIT_TIME_S", wait)
    assert exit_timeout(6.0) == pytest.approx(seconds)


def test_outside_a_job_there_is_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_STOP_WAIT_TIME_S", "3")
    assert exit_timeout(6.0) == 6.0


def test_a_run_in_a_jobs_copy_of_its_working_directory_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_0123"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    with pytest.raises(SpecError, match="which Ray deletes") as error:
        check_outlives_job("runs/tiny")
    assert error.value.where == "run directory runs/tiny"
    check_outlives_job(str(tmp_path / "runs" / "tiny"))
    check_outlives_job("s3://bucket/working_dir_files/tiny")


def test_a_command_that_is_stopped_before_it_began_says_so(tmp_path: Path) -> None:
    """Its sweep file is a pipe that nobody writes to; it has been opened, so the command is on its way."""
    sweep = tmp_path / "sweep.yaml"
    os.mkfifo(sweep)
    with (
        subprocess.Popen([COMMAND, "sweep", sweep], text=True, stderr=subprocess.PIPE) as command,
        sweep.open("w"),
    ):
        command.send_signal(signal.SIGTERM)
        _, err = command.communicate(timeout=60)
    assert (command.returncode, err.strip()) == (130, "stopped")
