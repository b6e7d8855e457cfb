"""Laws of the sampler: pure, balanced, complete passes, shareable among workers."""

from __future__ import annotations

import numpy as np
import pytest

from fasray.errors import DataError, SpecError
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.sampler import Sampler, Sampling

SIZES = {("A", 0): 7, ("A", 1): 12, ("B", 0): 30, ("B", 1): 5}
FRAMES = 3


def table(sizes: dict[tuple[str, int], int] = SIZES) -> FaceIndex:
    cells = [(domain, label, i) for (domain, label), n in sizes.items() for i in range(n)]
    videos = [f"{domain}{label}-{i // FRAMES}" for domain, label, i in cells]
    text = [""] * len(cells)
    return FaceIndex.of(
        {
            "label": [label for _, label, _ in cells],
            "domain": [domain for domain, _, _ in cells],
            "video": videos,
            "subject": videos,
            "frame": [i % FRAMES for _, _, i in cells],
            "split": ["train"] * len(cells),
            **{name: text for name in ("attack_type", "instrument", "camera", "session")},
        }
    )


def sampler(sampling: Sampling, seed: int = 3, index: FaceIndex | None = None) -> Sampler:
    index = index or table()
    domain_id = np.where(index.domain == "A", 0, 1)
    return Sampler(index, np.arange(len(index)), domain_id, ("A", "B"), sampling, seed)


@pytest.mark.parametrize("sampling", [Sampling(images=4), Sampling(kind="shuffled", images=11)])
def test_every_group_shows_each_row_once_a_pass(sampling: Sampling) -> None:
    made, index = sampler(sampling), table()
    batches = np.stack([made.rows(step) for step in range(40)]).reshape(40, made.num_groups, sampling.images)
    for group in range(made.num_groups):
        line = batches[:, group].reshape(-1)
        members = np.arange(len(index))
        if sampling.kind == "balanced":
            members = members[(index.domain == "AB"[group // 2]) & (index.label == group % 2)]
        whole = line[: len(line) // len(members) * len(members)].reshape(-1, len(members))
        assert len(whole) >= 3
        assert all(np.array_equal(np.sort(one), members) for one in whole)
        assert not np.array_equal(whole[0], whole[1])


def test_rows_of_a_step_do_not_depend_on_what_was_asked_before() -> None:
    sampling = Sampling(images=4, draws=2)
    in_order = sampler(sampling)
    line = {(step, draw): in_order.rows(step, draw) for step in range(30) for draw in range(2)}
    at_random = sampler(sampling)
    for step, draw in np.random.default_rng(0).permutation(list(line)).tolist():
        assert np.array_equal(at_random.rows(step, draw), line[step, draw])


def test_seeds_and_draws_differ() -> None:
    sampling = Sampling(images=4, draws=2)
    rows = sampler(sampling).rows(5, 0)
    assert not np.array_equal(rows, sampler(sampling).rows(5, 1))
    assert not np.array_equal(rows, sampler(sampling, seed=4).rows(5, 0))


def test_video_unit_shows_each_video_once_a_pass_with_varying_frames() -> None:
    index = table()
    made = sampler(Sampling(kind="shuffled", unit="video", images=6), index=index)
    videos = np.unique(index.video)
    line = np.concatenate([made.rows(step) for step in range(3 * len(videos))])
    passes = line.reshape(-1, len(videos))
    assert all(np.array_equal(np.sort(index.video[one]), videos) for one in passes)
    assert len(set(index.frame[line[index.video[line] == "B0-0"]])) == FRAMES


@pytest.mark.parametrize("sampling", [Sampling(images=4), Sampling(kind="shuffled", images=12)])
def test_shares_of_the_workers_make_up_the_batch_and_keep_its_balance(sampling: Sampling) -> None:
    made, index = sampler(sampling), table()
    rows = made.rows(9)
    shares = [rows[made.positions(rank, 2)] for rank in range(2)]
    assert sorted(np.concatenate(shares)) == sorted(rows)
    if sampling.kind == "balanced":
        for share in shares:
            cells, counts = np.unique([f"{index.domain[r]}{index.label[r]}" for r in share], return_counts=True)
            assert len(cells) == 4
            assert set(counts) == {2}


def test_images_that_the_workers_cannot_share_equally_are_refused() -> None:
    with pytest.raises(SpecError, match="3 workers"):
        sampler(Sampling(images=4)).positions(0, 3)


def test_a_domain_with_one_class_is_refused_by_name() -> None:
    index = table({("A", 0): 7, ("A", 1): 12, ("B", 0): 30})
    with pytest.raises(DataError, match=r"B has no bona fide \(live\)"):
        sampler(Sampling(), index=index)


def test_a_window_longer_than_a_group_spans_passes() -> None:
    made = sampler(Sampling(images=17))
    group = made.rows(0)[-17:]
    assert set(np.unique(group, return_counts=True)[1]) <= {3, 4}
