"""Ray Data: from shards on any store to pools on the nodes."""
