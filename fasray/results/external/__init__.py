"""Score files of other tools, read and evaluated."""
