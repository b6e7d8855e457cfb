"""Images a second from the pool, compared with decoding the batches, a torch DataLoader, and a loop over images."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasray.bench.measurement import Benchmark, Measurement, machine, scratch
from fasray.errors import DataError, RunFailedError
from fasray.execution.ray_session import ray_session
from fasray.faces import jpeg
from fasray.faces.data_source import Dataset
from fasray.faces.loading.pool import FacePool, pool_folder, pool_key
from fasray.faces.loading.sampler import Sampler, Sampling
from fasray.faces.loading.windows import Windows
from fasray.faces.sets.reading import read_columns

_IMAGES_PER_GROUP = 4
_DOMAINS = 3
_WARM_UP = 5
Rows = NDArray[np.int64]
Batch = Callable[[Rows], Any]


def measure_batches(
    dataset: Dataset,
    seconds: float,
    repetitions: int = 3,
    say: Callable[[str], None] = lambda text: None,
    verbose: bool = False,
) -> Benchmark:
    """Read balanced batches of 3 domains x 2 classes x 4 images in every way, each for ``repetitions`` x ``seconds``.

    The baselines have the JPEG bytes of all faces in memory, so that they pay for decoding alone and not for reading.

    Args:
        dataset: faces of at least three domains.
        seconds: length of one repetition.
        repetitions: how often each way is measured.
        say: called with what begins.
        verbose: let Ray's own messages through.

    Raises:
        DataError: the faces have fewer than three domains, or cannot be read.
    """
    with scratch():
        decoded, again, fill_seconds = _fill(dataset, say, verbose)
        folder = pool_folder(pool_key(dataset.manifest.hash, dataset.manifest.image_size))
        pool = FacePool.open(folder)
        sampler = _sampler(pool)
        say("reading batches from the pool")
        rates = [_rate(sampler, lambda rows: pool.pick(rows).images, seconds) for _ in range(repetitions)]
        say("making a trial's batches, all images at once and image by image")
        batched, by_image = _made_rates(pool, sampler, seconds, repetitions)
        say("reading batches from the pool in two processes at once")
        two = _two_processes(folder, seconds, repetitions)
        images = _encoded(dataset)
        say("decoding the same batches with cv2")
        plain = [_rate(sampler, lambda rows: _decode(images, rows), seconds) for _ in range(repetitions)]
        say("reading the same batches through a torch DataLoader")
        loader = {workers: _loader_rates(images, sampler, workers, seconds, repetitions) for workers in (0, 2)}
    return Benchmark(
        "data",
        "images/s",
        (
            Measurement("pool", "pool, one process", tuple(rates), baseline=False),
            Measurement("pool_two_processes", "pool, two processes at once, sum", two, baseline=False),
            Measurement("batches", "pool, cut to windows, mirrored and made float", batched, baseline=False),
            Measurement(
                "batches_by_image", "the same image by image, as fasray 0.1.0 did it", by_image, baseline=False
            ),
            Measurement("cv2", "JPEG bytes in memory, cv2, one process", tuple(plain)),
            Measurement("data_loader_0", "the same in a torch DataLoader, no workers", loader[0]),
            Measurement("data_loader_2", "the same in a torch DataLoader, 2 workers", loader[2]),
        ),
        lower_is_better=False,
        facts={
            "faces": len(pool),
            "image_size": pool.image_size,
            "batch": sampler.batch,
            "window": _window(pool),
            "batches_ratio": median(batched) / median(by_image),
            "fill_decoded": decoded,
            "second_fill_decoded": again,
            "fill_seconds": fill_seconds,
            "fill_images_per_s": decoded / fill_seconds,
            **machine(),
        },
    )


def _fill(dataset: Dataset, say: Callable[[str], None], verbose: bool) -> tuple[int, int, float]:
    """Fill a new pool twice; return the images decoded in both passes and the seconds of the first."""
    say("filling a pool through Ray Data")
    with ray_session(verbose):
        from fasray.ingest.fill import fill_pools  # imports Ray, which reads its settings from the session

        began = time.perf_counter()
        first = fill_pools(dataset.uri, dataset.manifest, dataset.index)
        seconds = time.perf_counter() - began
        second = fill_pools(dataset.uri, dataset.manifest, dataset.index)
    return sum(node.decoded for node in first), sum(node.decoded for node in second), seconds


def _sampler(pool: FacePool) -> Sampler:
    domains = tuple(np.unique(pool.index.domain).tolist()[:_DOMAINS])
    if len(domains) < _DOMAINS:
        raise DataError(
            f"the benchmark reads {_DOMAINS} domains, and these faces have {len(domains)}",
            where=str(pool.folder),
            remedy="name another set with --data",
        )
    domain_id = np.full(len(pool), -1, np.int64)
    for number, domain in enumerate(domains):
        domain_id[pool.index.domain == domain] = number
    rows = np.flatnonzero((domain_id >= 0) & pool.valid)
    return Sampler(pool.index, rows, domain_id, domains, Sampling("balanced", _IMAGES_PER_GROUP), seed=0)


def _rate(sampler: Sampler, batch: Batch, seconds: float) -> float:
    """Return images a second over at least ``seconds``, picking the rows included."""
    for step in range(_WARM_UP):
        batch(sampler.rows(step))
    step, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds or not step:
        batch(sampler.rows(step))
        step += 1
    return step * sampler.batch / elapsed


def _made_rates(
    pool: FacePool, sampler: Sampler, seconds: float, repetitions: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return images a second of training batches made as a trial makes them, and image by image, in turn."""
    from fasray.bench.loops import torch_threads
    from fasray.faces.loading.augment import Augment, sample_parameters

    size, rng = _window(pool), np.random.default_rng(0)
    found: tuple[list[float], list[float]] = ([], [])
    with torch_threads(1):
        for _ in range(repetitions):
            for make, rates in zip((batched, image_by_image), found, strict=True):

                def batch(rows: Rows, make: Callable[..., Any] = make) -> Any:
                    return make(pool, rows, sample_parameters(rng, len(rows), Augment(), pool.image_size, size), size)

                rates.append(_rate(sampler, batch, seconds))
    return tuple(found[0]), tuple(found[1])


def batched(pool: FacePool, rows: Rows, maps: Any, size: int) -> Any:
    """Return the batch [B, 3, size, size] of windows in [0, 1] as a trial makes it on a CPU."""
    import torch

    from fasray.faces.loading.augment import to_float

    windows = Windows(maps.corner[None], maps.flipped[None], size)
    return to_float(torch.from_numpy(pool.pick(rows, windows=windows).images[0]))


def image_by_image(pool: FacePool, rows: Rows, maps: Any, size: int) -> Any:
    """Return the same batch by a loop over whole crops."""
    import torch

    crops = pool.pick(rows).images
    out = np.empty((len(crops), size, size, 3), dtype=np.uint8)
    for target, crop, (top, left), flip in zip(out, crops, maps.corner.tolist(), maps.flipped, strict=True):
        window = crop[top : top + size, left : left + size]
        target[...] = window[:, ::-1] if flip else window
    return torch.from_numpy(out).permute(0, 3, 1, 2).to(torch.float32).div_(255)


def _window(pool: FacePool) -> int:
    return pool.image_size * 7 // 8


def _two_processes(folder: Path, seconds: float, repetitions: int) -> tuple[float, ...]:
    """Return the summed rates of two processes that read the same pool at the same time, one a repetition."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(2), context.SimpleQueue()
    readers = [context.Process(target=_reader, args=(folder, seconds, repetitions, barrier, queue)) for _ in range(2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    if any(reader.exitcode for reader in readers):
        raise RunFailedError("a reading process ended with an error")
    one, other = queue.get(), queue.get()
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _reader(folder: Path, seconds: float, repetitions: int, barrier: Any, queue: Any) -> None:
    pool = FacePool.open(folder)
    sampler = _sampler(pool)
    rates = []
    for _ in range(repetitions):
        barrier.wait(timeout=120)  # the other process may have died
        rates.append(_rate(sampler, lambda rows: pool.pick(rows).images, seconds))
    queue.put(rates)


def _encoded(dataset: Dataset) -> list[bytes]:
    """Return the JPEG bytes of every face, in row order."""
    return [
        data
        for shard in dataset.manifest.shards
        for data in read_columns(dataset.uri, shard, ["image"])["image"].to_pylist()
    ]


def _decode(images: list[bytes], rows: Rows) -> NDArray[np.uint8]:
    """Return the decoded faces of ``rows``, [B, S, S, 3] uint8."""
    faces = [jpeg.decode(images[row]) for row in rows]
    return np.stack([face for face in faces if face is not None])


class _EncodedFaces:
    """A map-style torch dataset: row -> [S, S, 3] uint8 tensor."""

    def __init__(self, images: list[bytes]) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> Any:
        import cv2
        import torch

        cv2.setNumThreads(1)
        return torch.from_numpy(jpeg.decode(self._images[row]))


def _loader_rates(
    images: list[bytes], sampler: Sampler, workers: int, seconds: float, repetitions: int
) -> tuple[float, ...]:
    """Return images a second from a DataLoader, one rate a repetition; starting its workers is not counted.

    Torch gets one thread, as in a trial: on a busy machine its threads would wait for each other at every small copy.
    """
    from torch.utils.data import DataLoader

    from fasray.bench.loops import torch_threads

    loader: Any = DataLoader(
        _EncodedFaces(images),  # type: ignore[arg-type]
        batch_sampler=(sampler.rows(step).tolist() for step in itertools.count()),
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
    )
    with torch_threads(1):
        batches = iter(loader)
        return tuple(_rate(sampler, lambda rows: next(batches), seconds) for _ in range(repetitions))
