"""Who drives a run on an object store: one at a time, the dead are followed, the overtaken stop."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from careless_store import careless_store
from small_sweeps import wait_until

from fasray import storage
from fasray.errors import SpecError
from fasray.runs.driver import Owner, this_process
from fasray.runs.lease import Lease

ELSEWHERE = this_process().model_copy(update={"machine": "another", "host": "far", "pid": 7})
"""An owner of whom this machine cannot see whether he lives."""


def lost(lease: Lease) -> Callable[[], bool]:
    def look() -> bool:
        try:
            lease.check()
        except SpecError:
            return True
        return False

    return look


def dead_process() -> Owner:
    """A process of this machine that took no leave."""
    code = "from fasray.runs.driver import this_process; print(this_process().model_dump_json())"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return Owner.model_validate_json(ran.stdout)


def stopped(lease: Lease) -> None:
    """Let a lease die as its process would: no more signs of life, no word of leave."""
    lease.abandon()
    lease.release()


def test_a_second_driver_is_refused_and_told_who_the_first_is(s3: str) -> None:
    first = Lease(s3)
    with pytest.raises(SpecError, match=f"driven by process {os.getpid()} on ") as error:
        Lease(s3)
    assert error.value.exit_code == 2
    first.check()
    first.release()
    second = Lease(s3)
    assert second.taken_over_from == ""
    second.release()


def test_of_many_drivers_at_once_one_gets_the_run(s3: str) -> None:
    start = threading.Barrier(4)

    def take(number: int) -> Lease | None:
        start.wait()
        try:
            return Lease(s3)
        except SpecError:
            return None

    with ThreadPoolExecutor(4) as threads:
        leases = [lease for lease in threads.map(take, range(4)) if lease is not None]
    assert len(leases) == 1
    leases[0].release()


def test_a_driver_that_died_on_this_machine_is_followed_at_once(s3: str) -> None:
    dead = dead_process()
    stopped(Lease(s3, seconds=1000, owner=dead))
    lease = Lease(s3)
    assert lease.taken_over_from == str(dead)
    lease.release()


def test_a_process_id_that_is_in_use_again_is_not_the_dead_driver(s3: str) -> None:
    dead = this_process().model_copy(update={"born": "1"})
    stopped(Lease(s3, seconds=1000, owner=dead))
    assert Lease(s3).taken_over_from == str(dead)


def test_a_dead_driver_of_another_machine_is_followed_when_its_lease_has_run_out(s3: str) -> None:
    stopped(Lease(s3, seconds=1, owner=ELSEWHERE))
    lease = Lease(s3)
    assert lease.taken_over_from == str(ELSEWHERE)
    lease.release()


def test_a_living_driver_of_another_machine_is_not(s3: str) -> None:
    living = Lease(s3, seconds=2, owner=ELSEWHERE)
    with pytest.raises(SpecError, match="driven by process 7 on far"):
        Lease(s3)
    living.check()
    living.release()


def test_an_overtaken_driver_notices_and_leaves_the_lock_to_the_other(s3: str) -> None:
    slow = Lease(s3, seconds=1, owner=this_process().model_copy(update={"born": "1"}))
    quick = Lease(s3)
    wait_until(lost(slow), 20)
    with pytest.raises(SpecError, match=f"taken over by process {os.getpid()} on ") as error:
        slow.check()
    assert error.value.exit_code == 2
    slow.release()
    quick.check()
    with pytest.raises(SpecError, match="driven by"):
        Lease(s3)
    quick.release()


def test_a_store_that_ignores_conditions_is_refused(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with careless_store() as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        assert storage.write_once(storage.join(s3, "file"), b"x")
        assert not storage.supports_conditional_writes(storage.join(s3, "file"), b"x")
        for _ in range(2):
            with pytest.raises(SpecError, match="two drivers could not be kept apart") as error:
                Lease(s3)
        assert error.value.exit_code == 2
        assert "local --out" in error.value.remedy


def test_another_kind_of_store_has_no_lock() -> None:
    with pytest.raises(SpecError, match="only s3://"):
        storage.supports_conditional_writes("memory://run/file", b"x")
