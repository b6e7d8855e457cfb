from __future__ import annotations

from pathlib import Path

import pytest
from made_trials import made_bank

from fasray.faces.loading.pool import FaceBank


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> FaceBank:
    folder: Path = tmp_path_factory.mktemp("pools") / "made"
    return made_bank(folder)
