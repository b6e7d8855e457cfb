"""A cluster whose room others hold: the sweep says who holds it, waits, and goes on when it is free."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ray_head import RayHead
from small_sweeps import place

HOLDING = """
import sys, ray
ray.init(logging_level="ERROR")
group = ray.util.placement_group([{"CPU": 1}, {"CPU": 1}], lifetime=sys.argv[1] or None)
ray.get(group.ready())
print(group.id.hex(), flush=True)
sys.stdin.readline()
"""


def holder(env: dict[str, str], lifetime: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDING, lifetime], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.mark.slow
def test_it_names_what_holds_the_room_and_goes_on_when_that_is_gone(small_faces: Path, tmp_path: Path) -> None:
    here = place(tmp_path, small_faces)
    with RayHead(tmp_path / "head", here.env) as head:
        here = replace(here, env=head.client)
        with holder(here.env, "") as other, here.start() as driver:
            assert other.stdout is not None
            group = other.stdout.readline().strip()
            driver.until(lambda: "waiting:" in driver.said())
            said = driver.said()
            assert "other jobs have left 0 of 2 CPUs free, and a trial needs 1 CPUs" in said
            assert f"placement group {group} with 2 CPU of job {group[-8:]}, which is running" in said
            assert len(group) > 30
            other.communicate("\n")
            driver.until_new_events(2)
        with holder(here.env, "detached") as other:
            assert other.stdout is not None
            group = other.stdout.readline().strip()
            other.communicate("\n")
        with here.start() as driver:
            driver.until(lambda: "waiting:" in driver.said())
            assert f"of job {group[-8:]}, which has ended: `ray.util.remove_placement_group` frees it" in driver.said()
