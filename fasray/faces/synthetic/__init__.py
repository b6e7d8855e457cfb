"""Procedural faces and their attacks: the data set that is always at hand. Needs neither torch nor ray."""

from fasray.faces.synthetic.corpus import DEFAULT, SyntheticSettings, generate
from fasray.faces.synthetic.domains import DEFAULT_DIAL, DEFAULT_SEED

__all__ = ["DEFAULT", "DEFAULT_DIAL", "DEFAULT_SEED", "SyntheticSettings", "generate"]
