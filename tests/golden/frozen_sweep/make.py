"""Made the frozen sweep beside it, once: a small sweep that really trained, without weights and without machine names.

Two methods on two protocols, two searching and two confirming trials a cell, one ablation; one confirming run is told
to have diverged. Its score files and log are the input of the golden tables. Run it again only for another input:

    python tests/golden/frozen_sweep/make.py FOLDER
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / "support"))

from trained_runs import train_run  # noqa: E402

SWEEP = """
name: frozen
data: {data}
protocols: [O&C->I, O&I->C]
methods:
  erm: {{space: {{learning_rate: {{choice: [0.003, 0.03]}}}}}}
  safas:
    space: {{learning_rate: {{choice: [0.003, 0.03]}}}}
    ablations: {{no separability: {{separability_weight: 0.0}}}}
search: {{algorithm: random, trials_per_cell: 2, seed: 100}}
scheduler: {{asha: {{grace: 0.5, reduction: 2}}}}
confirm: {{seeds: [0, 1]}}
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 6, evaluations: 2}}
"""


def main(out: Path) -> None:
    """Train, then keep what the numbers need."""
    made = train_run(out / "made", SWEEP, subjects=4, domains="OCI")
    frozen = out / "frozen"
    for name in ("sweep.yaml", "data.json", "events.jsonl"):
        frozen.mkdir(parents=True, exist_ok=True)
        shutil.copy(made.run / name, frozen / name)
    for file in sorted(made.run.glob("trials/*/*")):
        if file.name.endswith(".parquet") or file.name in ("files.json", "spec.json"):
            target = frozen / file.relative_to(made.run)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    without_paths(frozen)
    shutil.rmtree(out / "made")


def without_paths(frozen: Path) -> None:
    """Take out of a run what this machine and this hour put in."""
    stored = yaml.safe_load((frozen / "sweep.yaml").read_text())
    stored["sweep"]["data"] = "faces"
    stored["hash"] = hashlib.sha256(json.dumps(stored["sweep"], sort_keys=True).encode()).hexdigest()[:16]
    (frozen / "sweep.yaml").write_text(yaml.safe_dump(stored, sort_keys=False))
    lines = [json.loads(line) for line in (frozen / "events.jsonl").read_text().splitlines()]
    ends = [line for line in lines if line["event"] == "reported" and line["decision"] == "done"]
    for line in lines:
        if line["event"] in ("opened", "closed"):
            line["at"] = "2026-01-01T00:00:00+00:00"
        if line["event"] == "opened":
            line |= {"host": "host", "pid": 1}
            line["versions"].pop("commit", None)
        if "seconds" in line:
            line["seconds"] = 1.0
    lines[lines.index(ends[-1])] = {
        "event": "ended",
        "trial": ends[-1]["trial"],
        "status": "diverged",
        "reason": "made",
    }
    (frozen / "events.jsonl").write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
