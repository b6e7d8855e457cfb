"""Write ``generated_faces.json``: what the default set is, on the machine that runs this.

Run it (``python tests/golden/make_generated_faces.py``) only when the default set is meant to change; then also raise
the version in ``fasray.faces.synthetic.corpus.GENERATOR`` and measure its difficulty again (sweeps/calibration.yaml).
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fasray.faces import jpeg
from fasray.faces.synthetic.corpus import DEFAULT, GENERATOR, _subject, generate

GOLDEN = Path(__file__).with_name("generated_faces.json")


def arithmetic() -> str:
    """Name what the last bit of a picture depends on: the CPU features and the versions of the libraries."""
    return f"{cv2.__version__} {np.__version__} {cv2.getCPUFeaturesLine()}"


def first_pictures() -> dict[str, Any]:
    """Return figures of the first frame of each video of the first session of each domain's first subject."""
    found = {}
    for domain in DEFAULT.domains:
        for record in _subject((DEFAULT, domain, 1)):
            if record["frame"] == 0 and "-s1-" in record["video"]:
                image = jpeg.decode(record["image"])
                assert image is not None
                depth = np.frombuffer(record["depth"], np.uint8)
                found[record["video"]] = {
                    "sha256": record["sha256"],
                    "mean": [round(float(value), 3) for value in image.mean((0, 1))],
                    "std": round(float(image.std()), 3),
                    "depth": int(depth.astype(np.int64).sum()),
                }
    return found


def manifest_hash() -> str:
    """Generate the whole default set and return the hash of its manifest; about half a minute on two cores."""
    with tempfile.TemporaryDirectory() as folder:
        return generate(folder).hash


if __name__ == "__main__":
    text = {
        "generator": GENERATOR,
        "arithmetic": arithmetic(),
        "manifest_hash": manifest_hash(),
        "pictures": first_pictures(),
    }
    GOLDEN.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
