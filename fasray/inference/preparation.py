"""How the face crops of a model's data were made, so that new faces are cut out alike."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fasray import storage
from fasray.errors import DataError, SpecError
from fasray.faces.extraction.crops import WHOLE
from fasray.faces.extraction.extract import Settings
from fasray.faces.extraction.frames import FrameRule
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.preparations import parts, way
from fasray.inference.scorer import Scorer
from fasray.runs.layout import DATA_FILE


@dataclass(frozen=True)
class Preparation:
    """What is recorded of the preparation of a face set."""

    settings: tuple[Mapping[str, Any], ...]
    """Of each corpus that was prepared differently; ``{"generated": True}`` for faces that were drawn."""
    image_size: int

    @classmethod
    def of(cls, card: Mapping[str, Any], image_size: int) -> Preparation:
        """Read the card of a face set, which may be merged of several.

        Raises:
            ValueError: the card does not say how all of the faces were made.
        """
        found: list[Mapping[str, Any]] = []
        for _, part in parts(card):
            made = way(part)
            if made is None:
                raise ValueError("the card does not say how the faces were made")
            if made not in found:
                found.append(made)
        return cls(tuple(found), image_size)

    def to_json(self) -> dict[str, Any] | None:
        """Return the settings for a model's metadata; None if there is more than one way."""
        if len(self.settings) > 1:
            return None
        return {**self.settings[0], "image_size": self.image_size}


def recorded_preparation(scorer: Scorer) -> Preparation | None:
    """Return what the run of a model records of its data; None if it is not inside a run, or its data do not say."""
    with contextlib.suppress(DataError, ValueError, KeyError, TypeError):
        facts = json.loads(storage.read_bytes(storage.join(scorer.run, DATA_FILE)))
        return Preparation.of(facts["card"], int(facts["image_size"]))
    return None


def settings_for(
    scorer: Scorer,
    *,
    data: str | None = None,
    image_size: int | None = None,
    frames: FrameRule | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Settings:
    """Return how to cut out faces for a model: as its own data were prepared, where that is known.

    Args:
        scorer: the model.
        data: face set whose preparation is taken; default: the one that the run records.
        image_size: side of the crops in pixels, where no preparation is known.
        frames: of a video that are scored; default: as in the preparation.
        note: called with what the user should know.

    Raises:
        SpecError: no preparation is known, or more than one, or ``image_size`` contradicts it.
        DataError: ``data`` is not a face set.
    """
    if data is None:
        found = recorded_preparation(scorer)
    else:
        manifest = read_manifest(data)
        if manifest.hash not in _sets_of(scorer):
            note(f"the model was trained on other data than {data}")
        found = None
        with contextlib.suppress(ValueError):
            found = Preparation.of(manifest.card, manifest.image_size)
    settings = _settings(found, scorer, image_size, note)
    return settings if frames is None else replace(settings, rule=frames)


def _sets_of(scorer: Scorer) -> set[str]:
    """Return the hashes of the model's data, and of the sets that these were merged of, where that is recorded."""
    found = {scorer.trial.data}
    with contextlib.suppress(DataError, ValueError, KeyError, TypeError):
        card = json.loads(storage.read_bytes(storage.join(scorer.run, DATA_FILE)))["card"]
        found.update(part["hash"] for part in card.get("sets", ()))
    return found


def _settings(
    found: Preparation | None, scorer: Scorer, image_size: int | None, note: Callable[[str], None]
) -> Settings:
    if found is None:
        if image_size is None:
            raise SpecError(
                "how the model's data were prepared is not known",
                where=scorer.uri,
                remedy="name the face set with --data, or the side of its crops with --image-size",
            )
        return Settings(image_size=image_size)
    if len(found.settings) > 1:
        raise SpecError(
            "the model's data were prepared in different ways",
            where="--data",
            remedy="name the face set whose preparation is to be used",
        )
    if image_size not in (None, found.image_size):
        raise SpecError(
            f"the model's data have crops of {found.image_size} px", where="--image-size", remedy="leave it out"
        )
    if "generated" not in found.settings[0]:
        settings = Settings.of(found.settings[0])
        if settings.cropped:
            how = "are used as they are" if settings.cropped == WHOLE else "are searched for the face inside"
            note(f"the model's data came cut out: pictures {how}, and must be cut out alike")
        return settings
    note("the model's data were generated, not detected: its crops differ somewhat from these")
    return Settings(image_size=found.image_size)
