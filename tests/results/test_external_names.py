"""Names in a score file that were typed on different systems mean the same people and videos."""

from pathlib import Path

import numpy as np

from fasray.results.external.read import read_external


def test_two_unicode_forms_are_one_name(tmp_path: Path) -> None:
    composed, apart = "Jos\u00e9", "Jose\u0301"
    rows = [f"0.{number},{number % 2},{name},{name}-{number // 4}" for number, name in enumerate([composed, apart] * 4)]
    file = tmp_path / "scores.csv"
    file.write_text("score,label,subject,video\n" + "\n".join(rows) + "\n", encoding="utf-8")
    found = read_external(str(file), "higher")
    assert found.subject is not None
    assert found.video is not None
    assert np.unique(found.subject).tolist() == [composed]
    assert np.unique(found.video).tolist() == [f"{composed}-0", f"{composed}-1"]
