"""What a card does with fasray: right numbers, speed, memory, sharing; measured part by part within a time budget.

Nothing here imports Ray but :mod:`fasray.bench.gpu.sweeps`, so that a rented machine needs few packages.
"""

PACKAGES = ("torch", "numpy", "pydantic", "PyYAML", "pyarrow", "fsspec", "safetensors", "tensorboardX", "click", "rich")
"""What ``fasray bench gpu-check`` imports, by the names that ``pip install`` takes."""
