"""From videos and stills to labelled face crops."""
