"""What pyarrow raises while it reads a damaged Parquet file; every reader turns these into an error of its own."""

import pyarrow as pa

DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""A damaged footer has names that are not UTF-8."""
