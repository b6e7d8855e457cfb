from __future__ import annotations

from pathlib import Path

import pytest
from made_trials import made_pool

from fasray.faces.loading.pool import FacePool


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> FacePool:
    folder: Path = tmp_path_factory.mktemp("pools") / "made"
    return made_pool(folder)
