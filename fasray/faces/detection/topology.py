"""The 468-point face mesh as a graph: its triangles, and the point loops that bound its parts.

The numbering and the triangles are those of Google's MediaPipe face mesh (Apache-2.0). ``mesh468.csv`` has one row a
loop, ``name,index,index...`` in order round the part, and then one row a triangle.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

POINTS = 468
Indices = NDArray[np.int64]

_FILE = "mesh468.csv"
_TRIANGLE = "triangle"
_HOLES = ("left_eye", "right_eye", "lips_inner")


@dataclass(frozen=True)
class Topology:
    """Which points make up what."""

    triangles: Indices
    """[T, 3] point numbers; the holes at both eyes and the inner mouth are closed, for a depth map would get pits
    there."""
    loops: dict[str, Indices]
    """Point numbers round a part, by name; left and right are the subject's own."""


@cache
def topology() -> Topology:
    """Return the mesh's topology, read once."""
    loops: dict[str, Indices] = {}
    triangles: list[list[int]] = []
    text = resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    for name, *numbers in csv.reader(text.splitlines()):
        points = [int(number) for number in numbers]
        if name == _TRIANGLE:
            triangles.append(points)
        else:
            loops[name] = np.array(points)
    for hole in _HOLES:
        triangles += _fan(loops[hole].tolist())
    return Topology(np.array(triangles), loops)


def _fan(loop: list[int]) -> list[list[int]]:
    """Return the triangles that fill a convex loop, all from its first point."""
    return [[loop[0], loop[i], loop[i + 1]] for i in range(1, len(loop) - 1)]
