"""Every method in every form that has a graph of its own: score, ONNX, int8 and the code without fasray agree."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_trials import SIZE, made_pool, made_trial, run
from without_fasray import run_shown_code

from fasray.faces.extraction.extract import Settings
from fasray.faces.extraction.frames import FrameRule
from fasray.faces.loading.pool import FacePool
from fasray.inference.int8 import quantise
from fasray.inference.onnx import TOLERANCE, export_scorer
from fasray.inference.scorer import Scorer
from fasray.methods import registry
from fasray.nets import backbones

SETTINGS = Settings(FrameRule(count=10), image_size=SIZE, quality=90, margin=1.4)
FORMS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in registry.METHODS),
    *(("erm", {"backbone": name, **backbones.recommended(name, pretrained=False)}) for name in backbones.names()[1:]),
    ("erm", {"crop": "scale"}),
    ("safas", {"crop": "scale"}),
    ("ssdg", {"backbone": "depthnet"}),
    ("ssdg", {"norm": "paper"}),
    ("sdfanet", {"region": "face"}),
    ("sdfanet", {"region": "learned"}),
    ("hfn_mp", {"channel_order": "bgr"}),
    ("hfn_mp", {"order": "second"}),
    ("rfmeta", {"crop": "resize"}),
    ("ssan", {"variant": "m"}),
    ("ssan", {"code": "as_published"}),
    ("gacfas", {"loss": "ce"}),
    ("gdfas", {"text_tower": "train"}),
    ("flip", {"variant": "v"}),
    ("flip", {"variant": "it"}),
    ("flip", {"prompts": "one"}),
]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> FacePool:
    return made_pool(tmp_path_factory.mktemp("pool"))


def trained(name: str, config: dict[str, Any], pool: FacePool, folder: Path) -> Path:
    """The folder of a trial that has taken two steps, in a run that has noted how its data were made."""
    trial = made_trial(name, **config)
    at = folder / "run" / "trials" / trial.id
    run(trial, pool, at, stop_after=1)
    card = {"kind": "prepared", "plan": {"settings": SETTINGS.facts()}}
    (folder / "run" / "data.json").write_text(json.dumps({"image_size": SIZE, "card": card}))
    return at


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), FORMS, ids=str)
def test_score_onnx_and_the_code_without_fasray_agree(
    name: str, config: dict[str, Any], pool: FacePool, tmp_path: Path, record_property: Any
) -> None:
    at = trained(name, config, pool, tmp_path)
    exported = export_scorer(Scorer.load(str(at)))
    (tmp_path / "model.onnx").write_bytes(exported.content)
    shown = run_shown_code(tmp_path / "model.onnx")
    crops = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    expected = Scorer.load(str(at)).score(crops)
    apart = np.abs([shown["score_of"](crop) for crop in crops] - expected).max()
    print(f"form {name} {config}: {exported.difference:.1e} in the export, {apart:.1e} on crops")
    assert max(apart, exported.difference) <= TOLERANCE
    assert abs(shown["score"] - shown["sample"]["score"]) <= 1e-5
    small = quantise(exported, Scorer.load(str(at)), pool)
    (tmp_path / "int8.onnx").write_bytes(small.content)
    assert abs(run_shown_code(tmp_path / "int8.onnx")["score"] - small.metadata["sample"]["score"]) <= 1e-4
    both = [small.metadata["int8"][role] for role in ("source-dev", "target")]
    print(f"form int8 {name} {config}: {len(exported.content)} -> {len(small.content)} bytes, "
          f"{small.metadata['int8']['operators']}, {both}")  # fmt: skip
    assert max(change["largest_difference"] for change in both) <= 0.1
