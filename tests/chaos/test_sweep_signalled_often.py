"""SIGINT and SIGTERM at random moments, most of them while Ray starts, when the signals are partly Ray's own."""

import random
import signal
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal
from small_sweeps import pause, place, table_of

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]


def test_every_signal_ends_the_driver_within_ten_seconds_with_code_6(finished, tmp_path: Path) -> None:
    here, rng = place(tmp_path / "signalled", finished.place.data), random.Random(7)
    signals = [signal.SIGINT, signal.SIGTERM] * 5
    for number in signals:
        drivers = sum(event.event == "opened" for event in here.events())
        with here.start() as driver:
            driver.until(lambda: sum(event.event == "opened" for event in here.events()) > drivers)  # noqa: B023
            for _ in range(rng.randint(0, 300)):
                pause()
            assert driver.process.poll() is None, "the sweep was too small to be stopped so often"
            ended = driver.end(number, 60)
        assert ended.code == 6, ended.err
        assert ended.seconds < 10
        assert "run the same command again to resume" in ended.err
        assert "Traceback" not in ended.err
    last = here.drive()
    assert last.code == 0, last.err
    assert_frame_equal(table_of(here.run_folder), table_of(finished.place.run_folder), check_exact=True)
    assert here.processes(wait=120) == {}
