"""``fasray plan`` answers without starting, or even loading, Ray."""

import subprocess
import sys
from pathlib import Path

from small_sweeps import place

PLAN = """
import sys
from fasray.cli import cli
cli.main(["plan", "sweep.yaml"], standalone_mode=False)
sys.exit("Ray is loaded" if "ray" in sys.modules else 0)
"""


def test_a_plan_is_made_without_ray(small_faces: Path, tmp_path: Path) -> None:
    here = place(tmp_path, small_faces)
    ran = subprocess.run([sys.executable, "-c", PLAN], cwd=here.folder, env=here.env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "forecast with" in ran.stdout
