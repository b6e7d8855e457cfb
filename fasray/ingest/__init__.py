"""Ray Data: from the videos of a corpus to shards, and from shards on any store to pools on the nodes."""
