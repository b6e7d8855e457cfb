"""From a number back to what it was computed from, and all of it recomputed."""
