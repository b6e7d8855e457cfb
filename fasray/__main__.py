"""``python -m fasray`` is ``fasray``."""

from fasray.cli import main

main()
