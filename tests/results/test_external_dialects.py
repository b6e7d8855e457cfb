"""One table of scores in every form that people write it in: the same number, or a refusal that names what reads it."""

from __future__ import annotations

import contextlib
import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locations import GOLDEN
from score_files import Columns, as_parquet, text

from fasray.errors import DataError, FasrayError, SpecError
from fasray.results.external.evaluate import MetricOptions, evaluate_external
from fasray.results.external.read import ExternalScores, LabelSource, read_external
from fasray.results.figures import FIGURES as RESULT_FIGURES
from fasray.results.figures import figures_at
from fasray.results.scores import LEVELS, Level, read_scores

Read = dict[str, Any]
"""Further arguments of ``read_external``."""
FIGURES = ("lives", "attacks", "auc", "eer", "hter", "far", "frr", "tpr_at_fpr1")


def made(seed: int, digits: int = 6) -> dict[str, Any]:
    """One row a video."""
    rng = np.random.default_rng(seed)
    count = 60
    label = rng.permuted(np.arange(count) % 3 == 0).astype(int)
    kind = np.where(label == 1, "live", rng.choice(["print", "replay"], count))
    folder = np.where(label == 1, "live", "spoof")
    return {
        "score": np.round(rng.normal(label * 1.2, 1), digits).tolist(),
        "label": label.tolist(),
        "subject": [f"s{at % 12}" for at in range(count)],
        "video": [f"Test/{where}/{at:04d}" for at, where in enumerate(folder)],
        "attack_type": kind.tolist(),
    }


def only(columns: Columns, *names: str) -> dict[str, Any]:
    return {name: columns[name] for name in names}


def bob(columns: Columns) -> dict[str, Any]:
    return {
        "claimed_id": columns["subject"],
        "test_label": columns["video"],
        "is_bonafide": [bool(label) for label in columns["label"]],
        "attack_type": ["" if kind == "live" else kind for kind in columns["attack_type"]],
        "score": columns["score"],
    }


def framed(columns: Columns) -> dict[str, Any]:
    """Four equal frames a video, of which no mean is rounded, each with a key of its own as bob.pad.face has them."""
    rows = {name: np.repeat(values, 4).tolist() for name, values in bob(columns).items()}
    frame = np.tile(np.arange(4), len(columns["score"])).tolist()
    video = rows["test_label"]
    return rows | {
        "test_label": [f"{name}_{at}" for name, at in zip(video, frame, strict=True)], "frame_id": frame,
        "video_key": video,
    }  # fmt: skip


def bob_text(columns: Columns, *middle: str) -> dict[str, Any]:
    pairs = zip(columns["subject"], columns["attack_type"], strict=True)
    real = [subject if kind == "live" else kind for subject, kind in pairs]
    extra = {name: [name] * len(real) for name in middle}
    return {"claimed": columns["subject"], **extra, "real": real, **only(columns, "video", "score")}


Write = Callable[[Columns], str | bytes]
TEXTS: dict[str, Write] = {
    "commas": text,
    "semicolons": lambda c: text(c, ";"),
    "tabs": lambda c: text(c, "\t"),
    "pipes": lambda c: text(c, "|"),
    "blanks": lambda c: text(c, "   "),
    "blanks after commas": lambda c: text(c, ", "),
    "semicolons and decimal commas": lambda c: text(c, ";", comma=True),
    "tabs and decimal commas": lambda c: text(c, "\t", comma=True),
    "quoted decimal commas": lambda c: text(c, ",", comma=True, quote=True),
    "a byte order mark": lambda c: text(c).encode("utf-8-sig"),
    "UTF-16 of a spreadsheet": lambda c: text(c, "\t").encode("utf-16"),
    "lines of Windows": lambda c: text(c, end="\r\n"),
    "lines of an old Mac": lambda c: text(c, end="\r"),
    "no end of the last line": lambda c: text(c).rstrip("\n"),
    "blank lines": lambda c: text(c, end="\n\n"),
    "quotation marks": lambda c: text(c, quote=True),
    "a header in capitals": lambda c: text({name.upper(): values for name, values in c.items()}),
    "columns turned round": lambda c: text(dict(reversed(list(c.items())))),
    "further columns": lambda c: text({"": range(len(c["score"])), **c, "camera": ["a b"] * len(c["score"])}),
    "a separator's line": lambda c: "sep=;\n" + text(c, ";"),
    "comments": lambda c: "# score of ours, one a video\n#\n" + text(c),
    "a comment as header": lambda c: "# " + text(only(c, "score", "label"), " "),
    "labels as floats": lambda c: text({**c, "label": [float(label) for label in c["label"]]}),
    "scores with exponents": lambda c: text({**c, "score": [f"{score:.12e}" for score in c["score"]]}),
    "score label": lambda c: text(only(c, "score", "label"), " ", header=False),
    "label score": lambda c: text(only(c, "label", "score"), " ", header=False),
    "score, label without header": lambda c: text(only(c, "score", "label"), header=False),
    "label; score without header": lambda c: text(only(c, "label", "score"), ";", header=False, comma=True),
    "label, tab, score without header": lambda c: text(only(c, "label", "score"), "\t", header=False),
    "bob.pad csv": lambda c: text(bob(c)),
    "bob.pad csv of frames": lambda c: text(framed(c)),
    "bob.pad csv, is_bonafide as number": lambda c: text(bob(c) | {"is_bonafide": c["label"]}),
    "bob.pad text": lambda c: text(bob_text(c), " ", header=False),
    "bob.pad text with a model": lambda c: text(bob_text(c, "model"), " ", header=False),
}  # fmt: skip
"""Forms of one file whose content leaves one reading."""


def as_npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "scores.npz", **arrays)
    return folder / "scores.npz"


def figures(scores: ExternalScores) -> list[float]:
    found = evaluate_external(scores, MetricOptions(threshold=0.6)).figures
    return [getattr(found, name) for name in FIGURES]


def reference(folder: Path, columns: Columns) -> list[float]:
    plain = folder / "plain.csv"
    plain.write_text(text(only(columns, "score", "label")))
    return figures(read_external(str(plain), "higher"))


@pytest.mark.parametrize("dialect", TEXTS)
@pytest.mark.parametrize("ending", ["csv", "txt"])
def test_one_table_in_every_text_form_is_the_same_number(tmp_path: Path, dialect: str, ending: str) -> None:
    for seed in range(3):
        columns = made(seed, digits=3 + seed)
        content = TEXTS[dialect](columns)
        file = tmp_path / f"scores.{ending}"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        read = read_external(str(file), "higher")
        assert figures(read) == reference(tmp_path, columns)
        if read.video is not None:
            assert len(np.unique(read.video)) == 60
        if read.attack_type is not None:
            assert set(read.attack_type[read.label == 0]) == {"print", "replay"}


def test_any_spelling_is_the_same_number_or_refused(tmp_path: Path) -> None:
    read = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        columns = made(seed, digits=int(rng.integers(0, 5)))
        shown = ["score", "label", *rng.permutation(["subject", "video", "attack_type"])[: rng.integers(0, 4)]]
        content = text(
            only(columns, *rng.permutation(shown)),
            separator=str(rng.choice([",", ";", "\t", "|", " ", ", ", "; ", "  ", ":"])),
            end=str(rng.choice(["\n", "\r\n", "\r", "\n\n"])),
            header=bool(rng.random() < 0.7),
            comma=bool(rng.random() < 0.4),
            quote=bool(rng.random() < 0.3),
        )
        file = tmp_path / "any"
        file.write_text(content, newline="")
        with contextlib.suppress(DataError):
            assert figures(read_external(str(file), "higher")) == reference(tmp_path, columns), content
            read += 1
    assert read > 120


def test_parquet_and_npz_are_known_by_their_content(tmp_path: Path) -> None:
    columns = made(1)
    wanted = reference(tmp_path, columns)
    for name in ("a.parquet", "b.csv", "c"):
        (tmp_path / name).write_bytes(as_parquet(columns))
        assert figures(read_external(str(tmp_path / name), "higher")) == wanted
    assert figures(read_external(str(as_npz(tmp_path, **only(columns, "score", "label"))), "higher")) == wanted
    predicted = as_npz(tmp_path, scores_pred=columns["score"], scores_gt=columns["label"])
    assert figures(read_external(str(predicted), "higher")) == wanted


def by_video(columns: Columns, name: str) -> dict[str, Any]:
    """As HFN+MP's test keeps scores: the frames of each video, appended to an array that begins empty."""
    found: dict[str, Any] = {}
    for video, value in zip(columns["video"], columns[name], strict=True):
        found[video] = np.append(np.append([], value), value)
    return found


def test_the_npz_of_hfn_mp_is_read_and_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = made(2)
    file = as_npz(tmp_path, scores_pred=by_video(columns, "score"), scores_gt=by_video(columns, "label"))
    read = read_external(str(file), "higher")
    assert read.layout == "HFN+MP npz"
    assert len(read.score) == 120
    assert figures(read) == reference(tmp_path, columns)

    class Canary:
        def __reduce__(self) -> Any:
            return eval, ("print('it ran')",)

    hostile = np.empty((), object)
    hostile[()] = {"v": Canary()}
    with pytest.raises(DataError, match=r"it would run builtins\.eval"):
        read_external(str(as_npz(tmp_path, scores_pred=hostile, scores_gt=hostile)), "higher")
    assert "it ran" not in capsys.readouterr().out


def test_scores_without_labels_are_refused_until_a_list_a_pattern_or_files_of_attacks_give_them(tmp_path: Path) -> None:
    columns = made(3)
    wanted = reference(tmp_path, columns)
    paths = [f"{video}.png" for video in columns["video"]]
    surf = [[f"{video}-{kind}.jpg" for video in columns["video"]] for kind in ("color", "depth", "ir")]
    listed, channels, scored = tmp_path / "list.txt", tmp_path / "channels.txt", tmp_path / "scores.txt"
    listed.write_text(text({"path": ["./" + path for path in paths], "label": columns["label"]}, " ", header=False))
    channels.write_text(text(dict(enumerate([*surf, columns["label"]])), " ", header=False))  # type: ignore[arg-type]

    scored.write_text(text({"path": paths, "score": columns["score"]}, " ", header=False))
    with pytest.raises(DataError, match="scores and no labels.*\n.*--labels.*--live-path.*--attacks"):
        read_external(str(scored), "higher")
    assert figures(read_external(str(scored), "higher", source=LabelSource(labels=str(listed)))) == wanted
    assert figures(read_external(str(scored), "higher", source=LabelSource(live_path="*/live/*"))) == wanted
    with pytest.raises(DataError, match=r"(?s)60 of 60 rows are not in .*; the first is 'Test/.*such as 'Test/.*color"):
        read_external(str(scored), "higher", source=LabelSource(labels=str(channels)))

    scored.write_text(text(dict(enumerate([*surf, columns["score"]])), " ", header=False))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="(?s)as bob.*--labels"):
        read_external(str(scored), "higher")
    assert figures(read_external(str(scored), "higher", source=LabelSource(labels=str(channels)))) == wanted

    zero = [0.0] * 60
    stdn = dict(enumerate([paths, columns["score"], zero, zero, zero, zero]))
    scored.write_text(text(stdn, header=False))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no header and 6 columns.*\n.*--column"):
        read_external(str(scored), "higher")
    asked: Read = {"columns": {"path": "1", "score": "2"}, "source": LabelSource(labels=str(listed))}
    assert figures(read_external(str(scored), "higher", **asked)) == wanted


def test_live_faces_and_attacks_may_be_in_files_of_their_own(tmp_path: Path) -> None:
    columns = made(4)
    wanted = reference(tmp_path, columns)
    rows = list(zip(columns["score"], columns["attack_type"], strict=True))
    for kind in ("live", "print", "replay"):
        (tmp_path / kind).write_text("".join(f"{score}\n" for score, this in rows if this == kind))
        (tmp_path / f"{kind}.csv").write_text(
            text(
                {
                    "score": [s for s, this in rows if this == kind],
                    "video": [i for i, r in enumerate(rows) if r[1] == kind],
                }
            )
        )
    (tmp_path / "attack").write_text("".join(f"{score}\n" for score, this in rows if this != "live"))
    with pytest.raises(DataError, match="--attacks"):
        read_external(str(tmp_path / "live"), "higher")
    one = LabelSource(attacks=(("", str(tmp_path / "attack")),))
    assert figures(read_external(str(tmp_path / "live"), "higher", source=one)) == wanted
    for ending in ("", ".csv"):
        two = LabelSource(attacks=tuple((kind, str(tmp_path / f"{kind}{ending}")) for kind in ("print", "replay")))
        read = read_external(str(tmp_path / f"live{ending}"), "higher", source=two)
        assert figures(read) == wanted
        assert read.attack_type is not None
        assert set(read.attack_type[read.label == 0]) == {"print", "replay"}
    with pytest.raises(SpecError, match="both give labels"):
        LabelSource(labels="a", live_path="b")
    (tmp_path / "both.csv").write_text(text(columns))
    with pytest.raises(SpecError, match="labels of its own"):
        read_external(str(tmp_path / "both.csv"), "higher", source=one)


def test_columns_of_other_names_and_places_are_named(tmp_path: Path) -> None:
    columns = made(5)
    file = tmp_path / "scores.csv"
    file.write_text(text({"liveness": columns["score"], "truth": columns["label"], "attack_type": ["x"] * 60}))
    with pytest.raises(DataError, match="no column 'score'.*\n.*--column score=NAME"):
        read_external(str(file), "higher")
    asked = {"score": "liveness", "label": "truth", "attack_type": "-"}
    assert figures(read_external(str(file), "higher", columns=asked)) == reference(tmp_path, columns)
    with pytest.raises(DataError, match="no column 'live' to take as 'score'"):
        read_external(str(file), "higher", columns={"score": "live"})
    with pytest.raises(SpecError, match="did you mean 'score'"):
        read_external(str(file), "higher", columns={"scores": "1"})
    file.write_text(text({"a": columns["video"], "b": columns["label"], "c": columns["score"]}, header=False))
    with pytest.raises(DataError, match="no header and 3 columns.*\n.*--column"):
        read_external(str(file), "higher")
    assert figures(read_external(str(file), "higher", columns={"label": "2", "score": "3"})) == reference(
        tmp_path, columns
    )


REFUSED: dict[str, tuple[bytes, str]] = {
    "either column may be the label": (b"1 0\n0 1\n1 1\n", "--column score=1 --column label=2"),
    "no labels of two kinds": (b"0.5 0.1\n0.4 0.3\n1 0.2\n", "--column score=1"),
    "thousands or decimals": (b"score;label\n1,234;1\n1,111;0\n", "a comma that may stand for"),
    "dots and commas": (b"score;label\n0.5;1\n0,4;0\n", "line 3.*'0,4' is not a number"),
    "a colon": (b"score:label\n0.5:1\n", "separate columns by"),
    "compressed": (gzip.compress(b"score,label\n0.5,1\n"), "zcat FILE | fasray metrics - "),
    "hdf5": (b"\x89HDF\r\n\x1a\n\0", "write csv"),
    "a spreadsheet": (b"PK\x05\x06" + bytes(18), "as csv"),
    "JSON lines": (b'{"score": 0.5, "label": 1}\n', "JSON.*write csv"),
    "a pickle": (pickle.dumps([1]), "run any code"),
    "half a zip": (b"PK\x03\x04abc", "no npz"),
    "1 is fake, in words": (b"score,label\n0.5,real\n0.1,1\n", "--live-label real"),
    "another word for live": (b"bonafide 0.5\nattack 0.4\nattack 0.3\n", "--live-label"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_several_readings_or_none_is_refused_with_what_helps(tmp_path: Path, case: str) -> None:
    content, expected = REFUSED[case]
    (tmp_path / "scores").write_bytes(content)
    with pytest.raises(DataError, match=f"(?s){expected}"):
        read_external(str(tmp_path / "scores"), "higher")


@pytest.mark.parametrize("level", LEVELS)
def test_a_runs_own_score_file_has_the_figures_of_its_results_under_the_same_names(level: Level) -> None:
    file = next((GOLDEN / "frozen_sweep" / "run" / "trials").glob("*/eval-*.parquet"))
    found = evaluate_external(read_external(str(file), "higher"), MetricOptions(level, threshold=0.4)).figures
    ours = dict(zip(RESULT_FIGURES, figures_at(read_scores(str(file)), 0.4, level), strict=True))
    del ours["source_dev_auc"]
    assert {name: getattr(found, name) for name in ours} == ours


@settings(max_examples=150)
@given(st.one_of(st.text('0.5,1;\t |"#-\nascorelbtph=', max_size=40).map(str.encode), st.binary(max_size=60)))
def test_no_content_ends_in_another_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(content)
    for source in (LabelSource(), LabelSource(live_path="a*"), LabelSource(labels=str(file))):
        with contextlib.suppress(FasrayError):
            assert len(read_external(str(file), "higher", source=source).score)
