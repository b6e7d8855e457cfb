"""A subject: about forty numbers that fix shape, skin, hair and glasses for good.

Lengths are in units of the canonical frame (raster.py). Ranges were set by eye so that heads look like people and a
real face detector and a 468-point mesh find them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_HAIR_COLOURS = np.array(
    [
        [0.02, 0.017, 0.015],
        [0.06, 0.035, 0.02],
        [0.16, 0.09, 0.045],
        [0.38, 0.26, 0.13],
        [0.30, 0.30, 0.30],
        [0.20, 0.06, 0.025],
    ],
    np.float32,
)
_IRIS_COLOURS = np.array([[0.05, 0.03, 0.015], [0.10, 0.06, 0.02], [0.06, 0.12, 0.16], [0.07, 0.12, 0.06]], np.float32)
_DARK_SKIN = 0.6

SHORT, FRINGE, LONG, BALD = range(4)
"""Hair styles."""

_ETHNICITIES = ("group1", "group2", "group3")
"""Groups of heads by skin and shape; nothing is claimed of people."""
_SEXES = ("female", "male")
_AGE_GROUPS = {"young": (0.0, 0.25), "middle": (0.4, 0.6), "old": (0.8, 1.0)}

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Identity:
    """The fixed traits of one subject."""

    half_width: float
    half_height: float
    jaw_taper: float
    head_depth: float
    eye_x: float
    eye_y: float
    eye_half_width: float
    eye_half_height: float
    eye_slant: float
    lid_crease: float
    brow_y: float
    brow_thickness: float
    brow_arch: float
    brow_density: float
    brow_half_width: float
    nose_width: float
    nose_length: float
    nose_height: float
    nose_bridge: float
    nose_tip: float
    mouth_y: float
    mouth_half_width: float
    upper_lip: float
    lower_lip: float
    cupid_bow: float
    cheek: float
    chin: float
    brow_ridge: float
    melanin: float
    haemoglobin: float
    freckles: float
    oil: float
    beard: float
    hair_colour: Colour
    hair_style: int
    hair_line: float
    hair_volume: float
    iris_colour: Colour
    cloth_colour: Colour
    glasses: bool
    glasses_colour: float
    age: float
    texture_seed: int


def draw_identity(rng: np.random.Generator) -> Identity:
    """Draw a subject."""

    def normal(mean: float, deviation: float, low: float = -9.0, high: float = 9.0) -> float:
        return float(np.clip(rng.normal(mean, deviation), low, high))

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def colour(values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Colour:
        red, green, blue = (float(v) for v in values)
        return red, green, blue

    tones = [uniform(0.05, 0.25), uniform(0.25, 0.6), uniform(0.6, 1.3)]
    melanin = float(rng.choice(tones, p=[0.4, 0.35, 0.25]))
    if melanin < _DARK_SKIN:
        hair = int(rng.choice(6, p=[0.4, 0.25, 0.15, 0.07, 0.08, 0.05]))
    else:
        hair = int(rng.choice([0, 1, 4], p=[0.8, 0.1, 0.1]))
    return Identity(
        half_width=normal(0.76, 0.045, 0.65, 0.88),
        half_height=normal(1.06, 0.05, 0.95, 1.18),
        jaw_taper=normal(0.30, 0.10, 0.08, 0.55),
        head_depth=normal(0.80, 0.07, 0.65, 0.95),
        eye_x=normal(0.315, 0.02, 0.27, 0.36),
        eye_y=normal(-0.20, 0.03, -0.27, -0.13),
        eye_half_width=normal(0.145, 0.012, 0.12, 0.175),
        eye_half_height=normal(0.062, 0.010, 0.042, 0.085),
        eye_slant=normal(0, 0.06, -0.13, 0.13),
        lid_crease=uniform(0.3, 1.0),
        brow_y=normal(-0.40, 0.025, -0.46, -0.34),
        brow_thickness=normal(0.040, 0.012, 0.018, 0.07),
        brow_arch=normal(0.045, 0.02, 0, 0.09),
        brow_density=uniform(0.55, 1.0),
        brow_half_width=normal(0.21, 0.02, 0.17, 0.25),
        nose_width=normal(0.155, 0.025, 0.11, 0.21),
        nose_length=normal(0.23, 0.035, 0.16, 0.31),
        nose_height=normal(0.30, 0.05, 0.2, 0.42),
        nose_bridge=normal(0.10, 0.03, 0.04, 0.17),
        nose_tip=normal(0.10, 0.02, 0.07, 0.14),
        mouth_y=normal(0.53, 0.03, 0.46, 0.60),
        mouth_half_width=normal(0.265, 0.03, 0.21, 0.33),
        upper_lip=normal(0.052, 0.013, 0.028, 0.085),
        lower_lip=normal(0.070, 0.016, 0.04, 0.11),
        cupid_bow=uniform(0.2, 1.0),
        cheek=normal(0.07, 0.03, 0, 0.14),
        chin=normal(0.09, 0.03, 0.02, 0.16),
        brow_ridge=normal(0.06, 0.025, 0, 0.12),
        melanin=melanin,
        haemoglobin=uniform(0.35, 0.9),
        freckles=uniform(0, 1) ** 3,
        oil=uniform(0.2, 1.0),
        beard=uniform(0.2, 0.9) if rng.random() < 0.25 else 0.0,
        hair_colour=colour(_HAIR_COLOURS[hair]),
        hair_style=int(rng.choice(4, p=[0.45, 0.2, 0.25, 0.1])),
        hair_line=normal(-0.72, 0.07, -0.88, -0.58),
        hair_volume=uniform(0.10, 0.30),
        iris_colour=colour(_IRIS_COLOURS[int(rng.choice(4, p=[0.5, 0.25, 0.15, 0.1])) if melanin < _DARK_SKIN else 0]),
        cloth_colour=colour(rng.uniform(0.02, 0.6, 3).astype(np.float32)),
        glasses=bool(rng.random() < 0.15),
        glasses_colour=uniform(0.0, 0.12),
        age=uniform(0, 1),
        texture_seed=int(rng.integers(1 << 31)),
    )


@dataclass(frozen=True)
class Person:
    """The groups that a record names; columns of the face record."""

    ethnicity: str
    sex: str
    age_group: str


def person_of(number: int) -> Person:
    """Return the groups of subject ``number``: they rotate, so that any 18 in a row are one of each combination."""
    ages = tuple(_AGE_GROUPS)
    return Person(_ETHNICITIES[number % 3], _SEXES[number % 2], ages[(number + number // 3) % 3])


def in_group(who: Identity, person: Person, rng: np.random.Generator) -> Identity:
    """Return the subject with the skin, shape and hair of its groups; all else stays."""

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def dark() -> Colour:
        red, green, blue = (float(v) for v in _HAIR_COLOURS[int(rng.integers(2))])
        return red, green, blue

    if person.ethnicity == "group1":
        who = replace(who, melanin=uniform(0.05, 0.25), nose_width=uniform(0.12, 0.155), lid_crease=uniform(0.7, 1.0))
    elif person.ethnicity == "group2":
        who = replace(
            who, melanin=uniform(0.25, 0.45), lid_crease=0.3, eye_half_height=uniform(0.042, 0.055), hair_colour=dark(),
            eye_slant=uniform(0.05, 0.12), nose_bridge=uniform(0.04, 0.07), cheek=uniform(0.08, 0.13),
        )  # fmt: skip
    else:
        who = replace(
            who, melanin=uniform(0.85, 1.3), nose_width=uniform(0.175, 0.21), upper_lip=uniform(0.065, 0.085),
            lower_lip=uniform(0.085, 0.11), hair_colour=dark(), iris_colour=(0.05, 0.03, 0.015), freckles=0.0,
        )  # fmt: skip
    style, bearded = rng.random(), rng.random() < 0.45
    if person.sex == "female":
        hair = LONG if style < 0.7 else FRINGE
        who = replace(
            who, beard=0.0, hair_style=hair, brow_thickness=who.brow_thickness * 0.75, brow_ridge=who.brow_ridge * 0.5
        )
    else:
        hair = SHORT if style < 0.8 or person.age_group == "young" else BALD
        who = replace(who, beard=uniform(0.3, 0.9) if bearded else 0.0, hair_style=hair, jaw_taper=who.jaw_taper * 0.75)
    who = replace(who, age=uniform(*_AGE_GROUPS[person.age_group]))
    return replace(who, hair_colour=(0.3, 0.3, 0.3)) if person.age_group == "old" else who
