"""How a corpus is cut into work: every video once, in order, the same way on any machine."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasray.errors import SpecError
from fasray.faces.corpora import Findings, SourceVideo, get
from fasray.faces.corpora.findings import SplitCount
from fasray.faces.extraction.extract import Settings
from fasray.faces.extraction.frames import FrameRule
from fasray.faces.sets.manifest import canonical_json
from fasray.ingest.chunks import PreparationPlan, make_plan
from fasray.ingest.summary import card, documents
from fasray.ingest.worklog import VideoCounts, VideoReport, add_counts, count_videos, joined_report

VIDEOS = get("msu-mfsd").official()


def plan(
    count: int, rule: FrameRule, rows_per_shard: int = 512, videos: tuple[SourceVideo, ...] = VIDEOS
) -> PreparationPlan:
    return PreparationPlan("msu-mfsd", "nowhere", videos[:count], Settings(rule), Findings("MSU-MFSD"), rows_per_shard)


@given(st.integers(1, 280), st.integers(1, 60), st.integers(1, 700))
def test_every_video_is_in_one_chunk_and_one_unit_in_order(count: int, frames: int, rows: int) -> None:
    made = plan(count, FrameRule(count=frames), rows)
    chunks = made.chunks()
    assert [video for chunk in chunks for video in chunk] == list(VIDEOS[:count])
    for number, chunk in enumerate(chunks):
        assert len(chunk) == 1 or len(chunk) * frames <= rows
        units = list(made.units(number, chunk))
        assert [video for unit in units for video in unit.videos] == list(chunk)
        assert [(unit.chunk, unit.place) for unit in units] == [(number, place) for place in range(len(units))]


def test_chunks_are_full_but_for_the_last() -> None:
    sizes = [len(chunk) for chunk in plan(280, FrameRule(count=10)).chunks()]
    assert sizes == [51] * 5 + [25]


def test_a_picture_is_one_row_whatever_the_rule() -> None:
    pictures = tuple(replace(video, path=video.path[:-3] + "png") for video in VIDEOS)
    assert [len(chunk) for chunk in plan(280, FrameRule(count=10), 100, pictures).chunks()] == [100, 100, 80]


def test_long_videos_are_shared_out_where_workers_would_be_idle(tmp_path: Path) -> None:
    def shares(megabytes: list[int], rule: FrameRule, workers: int) -> list[int]:
        videos = tuple(replace(VIDEOS[number], path=f"{number}.mp4") for number in range(len(megabytes)))
        for video, size in zip(videos, megabytes, strict=True):
            with (tmp_path / video.path).open("wb") as file:
                file.truncate(size << 20)
        made = replace(plan(0, rule, 1, videos), root=str(tmp_path), videos=videos)
        units = [unit for number, chunk in enumerate(made.chunks()) for unit in made.units(number, chunk)]
        divided = made.divided(units, workers)
        assert len({(unit.chunk, unit.place) for unit in divided}) == len(divided)
        return [sum(unit.videos == (video,) for unit in divided) for video in videos]

    every = FrameRule(every=1)
    assert shares([100], every, 4) == [4]
    assert shares([60, 20], every, 4) == [3, 1]
    assert shares([50, 51], every, 2) == [1, 1], "there is work for all"
    assert shares([3], every, 4) == [1], "short"
    assert shares([100], FrameRule(count=10), 4) == [1], "most of the work is to decode it, which each would do"
    assert shares([100], every, 1) == [1]


def test_a_video_is_unreadable_if_a_share_of_it_is() -> None:
    shares = [report("train", "live", 5, 1), report("train", "live", 0, 0, "processes died of it")]
    assert joined_report(shares) == shares[1]
    second = report("train", "live", 4, 0).model_copy(update={"misses": (9, 3)})
    assert joined_report([shares[0], second]) == report("train", "live", 9, 0).model_copy(update={"misses": (0, 3, 9)})


def test_frames_that_are_files_count_by_name_and_length(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"x" * number)
    video = replace(VIDEOS[0], path="clip", pictures=("0.png", "1.png", "2.png"))
    made = replace(plan(0, FrameRule(count=10), 8), root=str(tmp_path), videos=(video, replace(video, path="other")))
    assert [len(chunk) for chunk in made.chunks()] == [2], "three rows each"
    before = made.facts
    (tmp_path / "0.png").write_bytes(b"xx")
    (tmp_path / "2.png").write_bytes(b"")
    assert replace(made).facts != before
    assert "pictures" not in VIDEOS[0].facts(), "the facts of sets of before"


def test_a_shard_without_rows_is_refused() -> None:
    with pytest.raises(SpecError, match="--shard-rows|out of range"):
        plan(3, FrameRule(count=1), 0)


def test_what_the_records_depend_on_is_in_the_facts_and_where_they_lie_is_not() -> None:
    made = plan(20, FrameRule(count=10))
    assert made.facts == replace(made, root="elsewhere").facts
    others = [
        plan(21, FrameRule(count=10)),
        plan(20, FrameRule(every=10)),
        plan(20, FrameRule(count=10), 100),
        replace(made, settings=replace(made.settings, margin=1.4)),
        replace(made, videos=(replace(made.videos[0], split="dev"), *made.videos[1:])),
    ]
    for other in others:
        assert other.facts != made.facts


def report(split: str, attack_type: str, taken: int, misses: int, unreadable: str = "") -> VideoReport:
    return VideoReport(
        path="p", video="v", split=split, attack_type=attack_type, taken=taken, misses=tuple(range(misses)),
        remarks=(), unreadable=unreadable,
    )  # fmt: skip


def test_counts_add_up_by_split_and_attack_type() -> None:
    first = count_videos(
        [report("test", "live", 10, 1), report("train", "print", 10, 10), report("train", "live", 5, 0)]
    )
    second = count_videos([report("test", "live", 0, 0, "cut short")])
    names = ("split", "attack_type", "videos", "unreadable", "without_face", "frames", "misses")

    def counts(*values: object) -> VideoCounts:
        return VideoCounts.model_validate(dict(zip(names, values, strict=True)))

    assert add_counts([*first, *second]) == (
        counts("train", "live", 1, 0, 0, 5, 0),
        counts("train", "print", 1, 0, 1, 10, 10),
        counts("test", "live", 2, 1, 0, 10, 1),
    )


def test_a_card_says_as_published_only_of_what_was_published() -> None:
    made = plan(2, FrameRule(count=1))
    known = Findings("MSU-MFSD", counts=(SplitCount("train", 1, 1, 1, 1),))
    for findings, said in ((made.findings, "Nothing is missing."), (known, "It is as published.")):
        assert f"\n{said}\n" in documents(replace(made, findings=findings), [])["CARD.md"].decode()


def test_a_name_that_is_not_utf8_is_escaped_in_all_that_is_written(tmp_path: Path) -> None:
    for name in (VIDEOS[0].path, "caf\udce9.txt", "two\nlines.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    made = make_plan("msu-mfsd", str(tmp_path), Settings())
    assert canonical_json(card(made, [])).encode()
    written = documents(made, [])["CARD.md"].decode()
    assert "extra: caf\\xe9.txt\n" in written
    assert "extra: two\\x0alines.txt\n" in written
