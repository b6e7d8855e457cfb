"""Named bundles of size, width and budget, so that one sweep file runs on a cluster or on two cores.

A profile only overrides: what it does not name is the method's published setting. ``fasray plan`` lists what a
profile changes; a sweep file may override a profile in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fasray.errors import SpecError, did_you_mean

AUTO = "auto"
"""In place of a profile's name: the first of ``AUTO_PROFILES`` where there are GPUs, else the second."""
AUTO_PROFILES = ("full", "small")


@dataclass(frozen=True)
class Profile:
    """One bundle.

    Args:
        title: what it is for, one line.
        training: overrides of the training section.
        methods: overrides of a method's configuration, by method.
        budgets: overrides of the training section for one method, by method: what is dearer runs smaller or shorter.
        most_search_trials: search trials a cell at the most, the paper's own setting first; None: as many as asked for.
        most_confirm_seeds: confirming seeds at the most, the first of those asked for.
    """

    title: str
    training: Mapping[str, Any] = field(default_factory=dict)
    methods: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    budgets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    most_search_trials: int | None = None
    most_confirm_seeds: int | None = None


# The generated attacks' cues live at pixel scale: the CPU profiles cut windows instead of shrinking and turning crops.
_SMALL_TRAINING: Mapping[str, Any] = {"image_size": 96, "width": 0.25, "steps": 300, "evaluations": 3}
_SMALL_METHODS: Mapping[str, Mapping[str, Any]] = {
    "erm": {"images_per_group": 4},
    "safas": {"batch": 24, "crop": "pixels", "rotation": 0.0},
    "ssdg": {"images_per_group": 4, "crop": "pixels", "learning_rate": 0.01},
    "sdfanet": {"images_per_group": 4, "crop": "pixels", "decay_at": 0.75},
    "rfmeta": {"images_per_group": 4, "crop": "pixels", "bn_momentum": 0.1},
    "oneside_triplet": {"images_per_group": 4, "crop": "pixels", "bn_momentum": 0.1},
    "hfn_mp": {
        "images_per_group": 4,
        "inner_loops": 2,
        "crop": "pixels",
        "optimizer": "adam",
        "learning_rate": 0.001,
    },
    "ssan": {"batch": 24, "crop": "pixels", "learning_rate": 0.001},
    "gacfas": {"batch": 24, "crop": "pixels", "rotation": 0.0},
    "gdfas": {
        "images_per_group": 4,
        "crop": "pixels",
        "rotation": 0.0,
        "learning_rate": 0.001,
        "decay": "cosine",
        "domain_norm": "unit",
    },
    "flip": {"images_per_group": 4, "crop": "pixels", "learning_rate": 0.001},
}
_META_LEARNING = ("rfmeta", "oneside_triplet", "hfn_mp")

PROFILES: Mapping[str, Profile] = {
    "full": Profile(
        "the published sizes and budgets; wants a GPU",
        budgets={name: {"image_size": 224} for name in ("flip", "gdfas")},  # CLIP's own size
    ),
    "small": Profile(
        "a quarter of the width or less on 96 px windows: meaningful quality on a CPU, about a minute a trial",
        _SMALL_TRAINING,
        _SMALL_METHODS,
        budgets={
            "rfmeta": {"width": 0.125, "steps": 90},
            "oneside_triplet": {"width": 0.125, "steps": 90},
            "hfn_mp": {"steps": 120},
            "ssan": {"steps": 200},
            "gacfas": {"steps": 150},
            "flip": {"steps": 150},
        },
    ),
    "quick": Profile(
        "the small networks on a budget of seconds a trial; what the quickstart runs",
        {**_SMALL_TRAINING, "steps": 120},
        {**_SMALL_METHODS, **{name: {**_SMALL_METHODS[name], "images_per_group": 2} for name in _META_LEARNING}},
        budgets={
            "rfmeta": {"width": 0.125, "steps": 60},
            "oneside_triplet": {"width": 0.125, "steps": 60},
            "hfn_mp": {"steps": 60},
            "gacfas": {"steps": 60},
            "flip": {"steps": 60},
        },
    ),
    "smoke": Profile(
        "does everything run? A few steps, two search trials and two seeds a cell; no quality to expect",
        {"image_size": 64, "width": 0.125, "steps": 12, "evaluations": 3},
        {
            "erm": {"images_per_group": 2},
            "safas": {"batch": 12},
            "ssdg": {"images_per_group": 2, "crop": "pixels"},
            "sdfanet": {"images_per_group": 2, "crop": "pixels"},
            "rfmeta": {"images_per_group": 1, "crop": "pixels"},
            "oneside_triplet": {"images_per_group": 1, "crop": "pixels"},
            "hfn_mp": {"images_per_group": 1, "inner_loops": 2, "crop": "pixels"},
            "ssan": {"batch": 12, "crop": "pixels"},
            "gacfas": {"batch": 12},
            "gdfas": {"images_per_group": 2, "learning_rate": 0.001, "domain_norm": "unit"},
            "flip": {"images_per_group": 2, "crop": "pixels", "learning_rate": 0.001},
        },
        most_search_trials=2,
        most_confirm_seeds=2,
    ),
}


def profile(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        SpecError: there is no such profile.
    """
    if name == AUTO:
        raise SpecError(
            "the profile is still auto", where="key training.profile", remedy="`fasray.sweep.auto.resolve_auto` decides"
        )
    if name not in PROFILES:
        raise SpecError(
            f"unknown profile {name!r}", where="key training.profile", remedy=did_you_mean(name, [*PROFILES, AUTO])
        )
    return PROFILES[name]
