"""``fasray metrics`` judges the score files that people have, says what it did, and guesses nothing."""

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from locations import ROOT
from small_sweeps import Ran

from fasray import metrics
from fasray.cli import main
from fasray.cli.metrics import metrics as metrics_command
from fasray.results.figures import FIGURES

Command = Callable[..., Ran]
Columns = Mapping[str, Sequence[Any]]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``fasray metrics`` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Ran:
        monkeypatch.setattr("sys.argv", ["fasray", "metrics", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        seen = capfd.readouterr()
        return Ran(int(ended.value.code or 0), seen.out, seen.err)

    return run


def found(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    parsed: dict[str, Any] = json.loads(ran.out)
    return parsed


def refused(ran: Ran, code: int, *parts: str) -> None:
    assert ran.code == code, ran.err or ran.out
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    for part in parts:
        assert part in ran.err, ran.err


def rows(seed: int = 0, subjects: int = 40) -> dict[str, Any]:
    """Three frames of each of six videos a subject: two live, four attacks of two types."""
    rng = np.random.default_rng(seed)
    video = np.arange(subjects * 6)
    label = np.isin(video % 6, [0, 1]).astype(int)
    kind = np.where(label == 1, "live", np.where(video % 2 == 0, "print", "replay"))
    score = rng.normal(label * 1.5, 1.0) + rng.normal(0, 0.5, subjects)[video // 6]
    each = np.repeat(video, 3)
    return {
        "score": np.round(score[each] + rng.normal(0, 0.3, len(each)), 6).tolist(),
        "label": label[each].tolist(),
        "subject": [f"s{position // 6}" for position in each],
        "video": [f"v{position}" for position in each],
        "attack_type": kind[each].tolist(),
        "frame": (np.arange(len(each)) % 3 * 7).tolist(),
    }


def write_csv(path: Path, columns: Columns) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def videos_of(columns: Columns, **options: Any) -> metrics.Videos:
    same = ["A"] * len(columns["score"])
    return metrics.to_videos(
        columns["score"], columns["label"], same, columns["attack_type"], columns["video"], **options
    )


def write_parquet(path: Path, columns: Columns) -> Path:
    pq.write_table(pa.table(dict(columns)), path)
    return path


def write_text(path: Path, *columns: Sequence[Any]) -> Path:
    path.write_text("".join(" ".join(map(str, words)) + "\n" for words in zip(*columns, strict=True)))
    return path


def test_a_file_gives_the_figures_of_its_videos(judge: Command, tmp_path: Path) -> None:
    columns = rows()
    given = found(judge(write_csv(tmp_path / "s.csv", columns), "--live-is", "higher", "--format", "json"))
    videos = videos_of(columns)
    expected = metrics.figures(videos.score, videos.label, None, videos.attack_type)
    assert given["layout"] == "csv"
    for name in ("auc", "eer", "eer_threshold", "hter", "apcer", "bpcer", "acer", "tpr_at_fpr1", "bpcer_at_apcer5"):
        assert given[name] == getattr(expected, name), name
    assert given["apcer_by_type"] == dict(expected.apcer_by_type)
    assert (given["rows"], given["frames"], given["subjects"]) == (240, 720, 40)
    assert (given["frames_per_video"], given["lives"], given["attacks"]) == ([3, 3], 80, 160)
    assert given["oracle"] is True


def test_scores_and_labels_alone_are_enough_and_it_says_what_it_cannot_know(judge: Command, tmp_path: Path) -> None:
    columns = rows()
    file = write_text(tmp_path / "map_score_test.txt", columns["score"], columns["label"])
    given = found(judge(file, "--live-is", "higher", "--confidence", "95", "--format", "json"))
    assert given["auc"] == metrics.auc(columns["score"], columns["label"])
    assert given["layout"] == "score and label text"
    assert given["intervals"]["clusters"] == "row"
    notes = " ".join(given["notes"])
    assert all(what in notes for what in ("videos are unknown", "attack types are unknown", "subjects are unknown"))


def test_the_direction_is_declared_never_guessed(judge: Command, tmp_path: Path) -> None:
    columns = rows()
    turned = columns | {"score": [-score for score in columns["score"]]}
    ours, theirs = write_csv(tmp_path / "a.csv", columns), write_csv(tmp_path / "b.csv", turned)
    undeclared = judge(ours)
    assert undeclared.code == 2
    assert "--live-is" in undeclared.err
    higher = found(judge(ours, "--live-is", "higher", "--format", "json"))
    lower = found(judge(theirs, "--live-is", "lower", "--format", "json"))
    assert lower["auc"] == higher["auc"]
    assert lower["hter"] == higher["hter"]
    assert lower["eer_threshold"] == -higher["eer_threshold"]
    given = found(judge(theirs, "--live-is", "lower", "--threshold", "-0.8", "--format", "json"))
    same = found(judge(ours, "--live-is", "higher", "--threshold", "0.8", "--format", "json"))
    assert (given["threshold"], given["hter"]) == (-0.8, same["hter"])
    assert not any("wrong way round" in note for note in higher["notes"])
    wrong = found(judge(theirs, "--live-is", "higher", "--format", "json"))
    assert any("AUC is under 50 %" in note for note in wrong["notes"])
    assert wrong["auc"] == pytest.approx(1 - higher["auc"], abs=1e-12)


def test_words_for_live_are_declared_too(judge: Command, tmp_path: Path) -> None:
    columns = rows()
    words = columns | {"label": ["Bonafide" if label else "attack" for label in columns["label"]]}
    file = write_csv(tmp_path / "s.csv", words)
    refused(judge(file, "--live-is", "higher"), 3, "label 'Attack'".lower(), "--live-label")
    given = found(judge(file, "--live-is", "higher", "--live-label", "bonafide", "--format", "json"))
    assert given["lives"] == 80
    swapped = columns | {"label": [1 - label for label in columns["label"]]}
    given = found(judge(write_csv(file, swapped), "--live-is", "higher", "--live-label", "0", "--format", "json"))
    assert given["lives"] == 80


def test_frames_and_other_ways_from_frames_to_videos(judge: Command, tmp_path: Path) -> None:
    columns = rows()
    file = write_csv(tmp_path / "s.csv", columns)
    frame = found(judge(file, "--live-is", "higher", "--level", "frame", "--format", "json"))
    assert frame["auc"] == metrics.auc(columns["score"], columns["label"])
    assert (frame["rows"], frame["aggregate"], frame["frames_per_video"]) == (720, None, None)
    for aggregate in ("max", "first-2"):
        options = ("--aggregate", aggregate, "--format", "json")
        given = found(judge(file, "--live-is", "higher", *options))
        videos = videos_of(columns, aggregate=aggregate, frame=columns["frame"])
        assert given["auc"] == metrics.auc(videos.score, videos.label)


def test_a_threshold_of_other_rows_is_honest(judge: Command, tmp_path: Path) -> None:
    test, dev = write_csv(tmp_path / "test.csv", rows(1)), write_csv(tmp_path / "dev.csv", rows(2))
    given = found(judge(test, "--live-is", "higher", "--threshold", f"dev:{dev}", "--format", "json"))
    of_dev = videos_of(rows(2))
    threshold = metrics.eer_threshold(of_dev.score, of_dev.label)
    videos = videos_of(rows(1))
    assert given["threshold"] == threshold
    assert given["hter"] == metrics.rates_at(videos.score, videos.label, threshold).hter
    assert given["oracle"] is False
    assert not any("oracle" in note for note in given["notes"])
    itself = found(judge(test, "--live-is", "higher", "--threshold", f"dev:{test}", "--format", "json"))
    assert itself["oracle"] is True
    oracle = found(judge(test, "--live-is", "higher", "--threshold", "min-hter", "--format", "json"))
    assert oracle["hter"] < given["hter"]
    assert any("oracle" in note for note in oracle["notes"])


def test_a_file_with_roles_gives_its_target_and_a_threshold_from_its_source_dev(judge: Command, tmp_path: Path) -> None:
    target, dev = rows(1), rows(2)
    both = {name: target[name] + dev[name] for name in target}
    both["video"] = [f"{'t' if at < len(target['score']) else 'd'}-{v}" for at, v in enumerate(both["video"])]
    both["role"] = ["target"] * len(target["score"]) + ["source-dev"] * len(dev["score"])
    file = write_parquet(tmp_path / "eval-100.parquet", both)
    given = found(judge(file, "--live-is", "higher", "--threshold", f"dev:{file}", "--format", "json"))
    alone = found(
        judge(write_csv(tmp_path / "t.csv", target), "--live-is", "higher", "--threshold",
              f"dev:{write_csv(tmp_path / 'd.csv', dev)}", "--format", "json")
    )  # fmt: skip
    assert (given["hter"], given["threshold"]) == (alone["hter"], alone["threshold"])
    refused(judge(file, "--live-is", "higher", "--role", "tarjet"), 3, "did you mean 'target'")


def test_a_fixed_apcer_is_kept_by_every_attack_type_under_one_key(judge: Command, tmp_path: Path) -> None:
    columns = {
        "score": [9, 8, 7, 6, 5, 4, 3, 2, *range(-20, -2), 7.5, 1],
        "label": [1] * 8 + [0] * 20,
        "attack_type": ["live"] * 8 + ["print"] * 18 + ["replay"] * 2,
    }
    given = found(judge(write_csv(tmp_path / "s.csv", columns), "--live-is", "higher", "--format", "json"))
    assert given["bpcer_at_apcer10"] == 6 / 8  # one replay of two is 50 %, though it is one attack of twenty
    assert given["bpcer_at_apcer10"] == metrics.bpcer_at_apcer(*columns_of(columns), 0.1, columns["attack_type"])
    assert metrics.bpcer_at_apcer(*columns_of(columns), 0.1) == 0
    assert {name for name in FIGURES if "_at_" in name} <= set(given)
    untyped = {name: columns[name] for name in ("score", "label")}
    table = judge(write_csv(tmp_path / "s.csv", untyped), "--live-is", "higher").out
    assert "APCER, all attacks" in table
    assert "BPCER at FAR 10 %" in table
    assert "worst type" not in table
    assert "at APCER" not in table


def columns_of(columns: Columns) -> tuple[Any, Any]:
    return columns["score"], columns["label"]


def test_scores_are_read_from_a_pipe_and_from_standard_input(
    judge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_csv(tmp_path / "s.csv", rows())
    expected = judge(file, "--live-is", "higher").out.splitlines()[1:]
    readable, writable = os.pipe()
    with os.fdopen(writable, "wb") as pipe:
        pipe.write(file.read_bytes())
    ran = judge(f"/dev/fd/{readable}", "--live-is", "higher")
    os.close(readable)
    assert ran.out.splitlines()[1:] == expected
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    ran = judge("-", "--live-is", "higher")
    assert ran.out.splitlines() == ["standard input (csv), higher scores are live", *expected]
    monkeypatch.setattr("sys.stdin", None)
    refused(judge("-", "--live-is", "higher"), 3, "standard input: it is closed")
    refused(judge("-", "--live-is", "higher", "--threshold", "dev:-"), 2, "standard input can be read once")


def test_labels_of_elsewhere_are_given_on_the_command_line(judge: Command, tmp_path: Path) -> None:
    columns = rows()
    wanted = found(
        judge(write_csv(tmp_path / "s.csv", columns), "--live-is", "higher", "--level", "frame", "--format", "json")
    )
    split = {kind: [s for s, this in zip(columns["score"], columns["attack_type"], strict=True) if this == kind]
             for kind in ("live", "print", "replay")}  # fmt: skip
    for kind, scores in split.items():
        write_text(tmp_path / f"{kind}.txt", scores)
    attacks = ("--attacks", "print=print.txt", "--attacks", "replay=replay.txt")
    given = found(judge("live.txt", *attacks, "--live-is", "higher", "--format", "json"))
    assert (given["auc"], given["apcer_by_type"]) == (wanted["auc"], wanted["apcer_by_type"])
    write_text(
        tmp_path / "scores.txt",
        [f"{kind}/{at}.png" for at, kind in enumerate(columns["attack_type"])],
        columns["score"],
    )
    by_path = found(judge("scores.txt", "--live-path", "live/*", "--live-is", "higher", "--format", "json"))
    assert by_path["auc"] == wanted["auc"]
    refused(judge("scores.txt", "--live-path", "Live/*", "--live-is", "higher"), 3, "all 720 scores are attacks")
    refused(judge("live.txt", "--live-is", "higher"), 3, "no labels", "--attacks")


def test_the_how_to_page_names_every_option() -> None:
    page = (ROOT / "docs" / "how-to" / "evaluate-a-score-file.md").read_text()
    missing = [option for parameter in metrics_command.params for option in parameter.opts if option.startswith("--")
               and f"`{option}" not in page]  # fmt: skip
    assert not missing


def test_official_habits_stand_beside(judge: Command, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "s.csv", rows())
    given = found(judge(file, "--live-is", "higher", "--rule", "hfn-min-hter", "--format", "json"))
    videos = videos_of(rows())
    assert given["compat"]["hter"] == metrics.compat_figures("hfn-min-hter", videos.score, videos.label).hter
    assert "as safas-roc has it: HTER" in judge(file, "--live-is", "higher", "--rule", "safas-roc").out
    refused(judge(file, "--live-is", "higher", "--rule", "ssdg"), 2, "did you mean 'ssdg-grid'")
    refused(judge(file, "--live-is", "lower", "--rule", "ssdg-grid"), 2, "1 - score")


def test_intervals_are_there_when_asked(judge: Command, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "s.csv", rows())
    given = found(judge(file, "--live-is", "higher", "--confidence", "90", "--threshold", "0.7", "--format", "json"))
    intervals = given["intervals"]
    assert intervals["hter"]["lower"] < given["hter"] < intervals["hter"]["upper"]
    assert (intervals["confidence"], intervals["clusters"], intervals["few_subjects"]) == (0.9, "subject", False)
    table = judge(file, "--live-is", "higher", "--confidence", "90", "--resamples", "200").out
    assert "in brackets: 90 % intervals, bootstrap, 200 resamples of subjects" in table
    assert "intervals" not in found(judge(file, "--live-is", "higher", "--format", "json"))
    few = judge(write_csv(tmp_path / "few.csv", rows(subjects=8)), "--live-is", "higher", "--confidence", "95")
    assert "note: only 8 subjects" in few.out
    for coverage in ("0.95", "1", "0", "-95", "100", "nan"):
        refused(judge(file, "--live-is", "higher", "--confidence", coverage), 2, "--confidence", "write 95 for 95 %")
    refused(judge(file, "--live-is", "higher", "--confidence", "95", "--seed", "-1"), 2, "seed -1 is negative", "->")


def test_the_table_is_in_percent_and_names_what_it_did(judge: Command, tmp_path: Path) -> None:
    ran = judge(write_csv(tmp_path / "s.csv", rows()), "--live-is", "higher", "--confidence", "95")
    assert ran.code == 0
    videos = videos_of(rows())
    assert f"AUC                          {100 * metrics.auc(videos.score, videos.label):6.2f} %   [" in ran.out
    assert "240 videos: 80 live, 160 attacks, 3 frames each, 40 subjects" in ran.out
    assert "  APCER replay" in ran.out


HOSTILE = ("<script>alert(1)</script>", "=cmd()", "\\input{/etc/passwd}", "\x1b[31mred", "a\u202eb", "50 %", "")


def test_hostile_attack_types_are_shown_and_never_obeyed(judge: Command, tmp_path: Path) -> None:
    columns = rows()
    kinds = [
        "live" if label else HOSTILE[int(video[1:]) % len(HOSTILE)]
        for video, label in zip(columns["video"], columns["label"], strict=True)
    ]
    file = write_csv(tmp_path / "s.csv", columns | {"attack_type": kinds})
    given = found(judge(file, "--live-is", "higher", "--format", "json"))
    assert set(given["apcer_by_type"]) == {kind or "unnamed" for kind in HOSTILE}
    table = judge(file, "--live-is", "higher").out
    assert table.replace("\n", "").isprintable()
    assert "\\x1b[31mred" in table


CSV_MISTAKES = [
    ("", "has no scores", "s.csv"),
    ("score;label\n0.5,1\n0.1,0\n", "1 values where the header names 2", "line 2"),
    ("score,label\n", "has no scores", "s.csv"),
    ("scores,label\n1,1\n", "no column 'score'; the columns are: scores, label", "did you mean 'scores'"),
    ("score,label\n0.5,1\nhigh,0\n", "score 'high' is not a number", "line 3"),
    ("score,label\n0.5,1\n,0\n", "score '' is not a number", "line 3"),
    ("score,label\n0.5,1\nnan,0\n", "1 of 2 scores are NaN", "line 3"),
    ("score,label\n0.5,1\n0.4,0\n0.3,2\n", "label '2'; others are 1 and 0", "line 4"),
    ("score,label\n0.5,1\n0.4,\n", "label ''", "line 3"),
    ("score,label\n0.5,1\n0.4,1\n", "all 2 scores are live", "s.csv"),
    ("score,label\n0.5,0\n0.4,0\n", "no row has the label '1'", "--live-label"),
    ("score,label\n0.5,1,9\n", "3 values where the header names 2", "line 2"),
    ('score,label\n"0.5,1\n', "this is not valid csv", "quotation"),
    ("score,label,score\n1,1,1\n", "a column occurs twice", "line 1"),
    ("score,label,frame\n0.5,1,first\n0.1,0,2\n", "frame 'first' is not a number", "line 2"),
    ("score,label,frame\n0.5,1,1.5\n0.1,0,2\n", "frame '1.5' is not a frame index", "line 2"),
    ("score,label,video\n0.5,1,\n0.1,0,b\n", "the video has no name", "line 2"),
    ("score,label,video\n0.5,1,a\n0.1,0,a\n", "video 'a' disagree in label", "different names"),
    ("score,label,video,subject\n0.5,1,a,x\n0.1,1,a,y\n0.1,0,b,y\n", "video 'a' has two subjects", "s.csv"),
    ("score,is_bonafide\n0.5,True\n0.4,maybe\n0.1,False\n", "label 'False'", "line 4"),
]


@pytest.mark.parametrize(("text", "what", "where"), CSV_MISTAKES)
def test_a_bad_csv_is_answered_with_file_line_and_remedy(
    judge: Command, tmp_path: Path, text: str, what: str, where: str
) -> None:
    (tmp_path / "s.csv").write_text(text)
    refused(judge("s.csv", "--live-is", "higher"), 3, "s.csv", what, where, "->")


def test_other_bad_files_are_answered_too(judge: Command, tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("0.5 1\n0.4\n")
    refused(judge("s.txt", "--live-is", "higher"), 3, "s.txt, line 2", "1 words where the lines above have 2")
    (tmp_path / "s.txt").write_text("a b 0.5\n")
    refused(judge("s.txt", "--live-is", "higher"), 3, "s.txt, line 1", "3 words", "--column")
    (tmp_path / "s.txt").write_text("")
    refused(judge("s.txt", "--live-is", "higher"), 3, "has no scores")
    (tmp_path / "s.csv").write_bytes(b"score,label\n\xff\xfe,1\n")
    refused(judge("s.csv", "--live-is", "higher"), 3, "s.csv, line 2", "UTF-8")
    (tmp_path / "s.parquet").write_bytes(b"PAR1 no")
    refused(judge("s.parquet", "--live-is", "higher"), 3, "s.parquet", "cannot be read")
    refused(judge("none.csv", "--live-is", "higher"), 3, "none.csv")
    write_parquet(tmp_path / "n.parquet", {"score": [0.5, None], "label": [1, 0]})
    refused(judge("n.parquet", "--live-is", "higher"), 3, "n.parquet, row 2", "score None is not a number")
    write_csv(tmp_path / "good.csv", rows())
    refused(judge("good.csv", "--live-is", "higher", "--level", "frame", "--aggregate", "max"), 2, "--aggregate")
    for wrong in (
        ("--threshold", "eerr"),
        ("--threshold", "apcer=1"),
        ("--column", "score"),
        ("--column", "x=y"),
        ("--threshold", "nan"),
        ("--aggregate", "median"),
        ("--resamples", "3"),
    ):
        extra = ("--confidence", "95") if "--resamples" in wrong else ()
        refused(judge("good.csv", "--live-is", "higher", *wrong, *extra), 2, "->")
    refused(judge("good.csv", "--live-is", "higher", "--threshold", "dev:none.csv"), 3, "none.csv")
    write_csv(tmp_path / "plain.csv", {"score": [0.5, 0.1], "label": [1, 0]})
    refused(judge("plain.csv", "--live-is", "higher", "--aggregate", "max"), 3, "which rows make up a video")


def test_infinite_scores_and_numbers_of_other_spellings_are_read(judge: Command, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("score, label\n inf, 1.0\n-inf, 0\n1e-3, 1\n +2E-3, 0.0\n")
    given = found(judge("s.csv", "--live-is", "higher", "--format", "json"))
    assert (given["auc"], given["lives"]) == (0.75, 2)
