"""One face, from corpus to batch."""
