"""``python -m fasray`` is ``fasray``."""

import os
import sys
from pathlib import Path

# Python looks in the working folder first: no numpy.py there may take the place of NumPy, here or in a worker.
if sys.path[:1] == [os.getcwd()] and Path.cwd() != Path(__file__).resolve().parents[1]:
    del sys.path[0]

from fasray.cli import main  # noqa: E402

main()
