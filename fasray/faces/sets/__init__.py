"""Face sets: Parquet shards and their manifest, written, verified and merged."""
