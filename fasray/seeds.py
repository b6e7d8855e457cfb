"""Named streams of randomness: a draw depends on what it is for, never on the order of calls.

A stream is ``hash(seed, purpose, indices)``. Two configurations that share a seed therefore see the same
batches and crops step by step (paired draws), and any step can be entered without replaying those before it.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive(seed: int, purpose: str, *indices: int | str) -> int:
    """Return a 63-bit integer that only ``(seed, purpose, indices)`` decide."""
    key = repr((int(seed), purpose, *indices)).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 1


def stream(seed: int, purpose: str, *indices: int | str) -> np.random.Generator:
    """Return the NumPy generator of the stream ``(seed, purpose, indices)``."""
    return np.random.default_rng(derive(seed, purpose, *indices))
