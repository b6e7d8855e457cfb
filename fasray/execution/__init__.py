"""Ray at the edge: sessions, nodes and the trials that run on them."""
