"""Method x protocol x loss weights x seed: what is run, in which order, and what is remembered of it."""
