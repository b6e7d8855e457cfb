"""Names in a score file that were typed on different systems mean the same people and videos."""

from pathlib import Path

import numpy as np

from fasray.results.external.read import LabelSource, read_external


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


def test_kinds_of_attack_labels_and_listed_paths_are_one_in_two_unicode_forms(tmp_path: Path) -> None:
    composed, apart = "\u00e9cran", "e\u0301cran"
    scores, listed = tmp_path / "scores.txt", tmp_path / "list.csv"
    scores.write_text(f"{composed}/1 0.1\n{apart}/2 0.2\na/3 0.9\n", encoding="utf-8")
    listed.write_text(
        f"path,label,attack_type\n{apart}/1,{apart},{apart}\n{composed}/2,{composed},{composed}\na/3,1,\n",
        encoding="utf-8",
    )
    found = read_external(str(scores), "higher", source=LabelSource(labels=str(listed)))
    assert found.label.tolist() == [0, 0, 1]
    assert found.attack_type is not None
    assert found.attack_type.tolist() == [composed, composed, ""]
