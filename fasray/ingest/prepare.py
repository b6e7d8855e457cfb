"""From the videos of a corpus to face shards, on every core of a machine or cluster.

Ray Data hands portions of videos to a pool of actors, each with a detector of its own; nothing else runs in the pass,
so no task waits for a core that an actor holds. The driver puts the results in order and writes a shard as soon as its
chunk is complete: it is the only writer, holds only the chunks in progress, and records each shard that is written, so
that a killed run goes on with the next one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from pydantic import TypeAdapter
from ray.data import ActorPoolStrategy

from fasray import ray_private
from fasray.errors import DataError, RunFailedError
from fasray.faces.corpora import SourceVideo
from fasray.faces.extraction.extract import Extractor, Settings, unreadable
from fasray.faces.extraction.frames import Share
from fasray.faces.record import RECORD_SCHEMA
from fasray.faces.sets.manifest import Manifest
from fasray.faces.sets.shards import finish_set, shard_name, write_shard
from fasray.ingest.chunks import PreparationPlan, Unit
from fasray.ingest.ray_data import last_line, quiet_context
from fasray.ingest.summary import PreparationResult, card, documents, outcome
from fasray.ingest.worklog import ChunkRecord, VideoReport, Worklog, count_videos, joined_report, report_of

_VIDEOS = TypeAdapter(tuple[SourceVideo, ...])
_REPORTS = TypeAdapter(tuple[VideoReport, ...])


@dataclass(frozen=True)
class PreparationProgress:
    """How far a preparation is."""

    videos: int
    """Finished videos, including those of earlier attempts."""
    of_videos: int
    frames: int
    """Frames looked at by this attempt."""
    faces: int
    """Faces found by this attempt."""
    reports: tuple[VideoReport, ...] = ()
    """Reports of the videos that have just been finished and need one."""


@dataclass(frozen=True)
class PreparationCost:
    """Processor time of this attempt, from the first result to the last; start-up is left out."""

    frames: int
    actor_seconds: float
    """Of all actors' processes, Ray's threads in them included."""
    driver_seconds: float
    wall_seconds: float
    actors: int


def prepare(
    plan: PreparationPlan,
    log: Worklog,
    *,
    actors: int | None = None,
    on_progress: Callable[[PreparationProgress], None] = lambda progress: None,
    on_cost: Callable[[PreparationCost], None] = lambda cost: None,
) -> PreparationResult:
    """Prepare a corpus into face shards at the place of ``log``, or go on with it; Ray must be running.

    Args:
        plan: what is prepared, and how.
        log: from ``Worklog.open`` with the same plan.
        actors: detectors at work; None: one a core of the cluster.
        on_progress: called after every portion of videos.
        on_cost: called once at the end of the pass, if there was one.

    Raises:
        DataError: there is no face in the whole corpus, or a shard cannot be written.
        RunFailedError: workers kept dying.
    """
    if log.finished is not None:
        return outcome(plan, log.finished)
    workers = actors or max(1, int(ray.cluster_resources().get("CPU", 1)))
    writer = _Writer(plan, log, workers)
    waiting = writer.waiting()
    if waiting:
        meter = _Meter()
        for place, result in _results(waiting, plan, workers):
            meter.add(result)
            writer.add(place, result)
            on_progress(writer.progress(result.reports))
        on_cost(meter.cost())
    return outcome(plan, _finish(plan, log, writer.records()))


def _finish(plan: PreparationPlan, log: Worklog, records: list[ChunkRecord]) -> Manifest:
    shards = [record.shard for record in records if record.shard is not None]
    if not shards:
        first = next((report for record in records for report in record.odd if report.unreadable), None)
        why = f"; the first: {first.path}: {first.unreadable}" if first else ""
        raise DataError(
            f"no face was found in any of {len(plan.videos)} videos{why}", where=plan.root, remedy="look at the videos"
        )
    manifest = finish_set(
        log.uri,
        shards,
        card(plan, records),
        image_size=plan.settings.image_size,
        documents=documents(plan, records),
    )
    log.clean_up()
    return manifest


@dataclass(frozen=True)
class _Result:
    """What a worker made of a unit."""

    records: pa.Table
    reports: tuple[VideoReport, ...]
    pid: int
    process_seconds: float
    """Processor time of the worker's process so far."""

    @property
    def frames(self) -> int:
        return sum(report.taken for report in self.reports)


def _joined(shares: list[_Result]) -> _Result:
    """Return what one worker would have made of a video from what was made of shares of it."""
    if len(shares) == 1:
        return shares[0]
    report = joined_report([share.reports[0] for share in shares])
    records = pa.concat_tables([share.records for share in shares]).sort_by("frame")
    return _Result(records.slice(0, 0) if report.unreadable else records, (report,), 0, 0.0)


class _Writer:
    """Collects results by chunk and writes each shard when its chunk is complete."""

    def __init__(self, plan: PreparationPlan, log: Worklog, workers: int) -> None:
        self._log = log
        self._chunks = plan.chunks()
        waiting = [number for number in range(len(self._chunks)) if number not in log.done]
        self._units: dict[int, list[Unit]] = {number: [] for number in waiting}
        for unit in plan.divided([unit for n in waiting for unit in plan.units(n, self._chunks[n])], workers):
            self._units[unit.chunk].append(unit)
        self._came: dict[int, dict[int, _Result]] = {}
        self._total = len(plan.videos)
        self._videos = sum(len(self._chunks[number]) for number in log.done)
        self._frames = self._faces = 0

    def waiting(self) -> list[Unit]:
        """Return the remaining units, in order."""
        return [unit for units in self._units.values() for unit in units]

    def add(self, unit: Unit, result: _Result) -> None:
        came = self._came.setdefault(unit.chunk, {})
        came[unit.place] = result
        which, of = unit.share
        first = unit.place - which
        if all(place in came for place in range(first, first + of)):
            came[first] = _joined([came[place] for place in range(first, first + of)])
            self._videos += len(unit.videos)
        self._frames += result.frames
        self._faces += result.records.num_rows
        if len(came) == len(self._units[unit.chunk]):
            del self._came[unit.chunk]
            self._write(unit.chunk, [came[unit.place] for unit in self._units[unit.chunk] if not unit.share[0]])

    def _write(self, number: int, results: list[_Result]) -> None:
        table = pa.concat_tables([result.records for result in results]).combine_chunks()
        shard = write_shard(self._log.uri, shard_name(number), table, set()) if table.num_rows else None
        reports = [report for result in results for report in result.reports]
        odd = tuple(report for report in reports if report.needs_report)
        record = ChunkRecord(number=number, shard=shard, tallies=count_videos(reports), odd=odd)
        self._log.commit(record)
        self._log.done[number] = record

    def records(self) -> list[ChunkRecord]:
        """Return the records of all chunks, in order."""
        missing = len(self._chunks) - len(self._log.done)
        if missing:
            raise RunFailedError(f"{missing} chunks are missing", remedy="run the same command again to resume")
        return [self._log.done[number] for number in range(len(self._chunks))]

    def progress(self, reports: tuple[VideoReport, ...]) -> PreparationProgress:
        shown = tuple(report for report in reports if report.needs_report)
        return PreparationProgress(self._videos, self._total, self._frames, self._faces, shown)


class _Meter:
    """Adds up processor time from the first result to the last."""

    def __init__(self) -> None:
        self._workers: dict[int, tuple[float, float]] = {}
        self._frames = 0
        self._began = (0.0, 0.0)

    def add(self, result: _Result) -> None:
        if not self._workers:
            self._began = (time.process_time(), time.monotonic())
        if result.pid in self._workers:  # the first result of a worker only sets its mark
            self._frames += result.frames
        first, _ = self._workers.get(result.pid, (result.process_seconds, 0.0))
        self._workers[result.pid] = (first, result.process_seconds)

    def cost(self) -> PreparationCost:
        return PreparationCost(
            frames=self._frames,
            actor_seconds=sum(last - first for first, last in self._workers.values()),
            driver_seconds=time.process_time() - self._began[0],
            wall_seconds=time.monotonic() - self._began[1],
            actors=len(self._workers),
        )


def _results(units: list[Unit], plan: PreparationPlan, workers: int) -> Iterator[tuple[Unit, _Result]]:
    """Yield every unit with its result, in order of completion."""
    setup = ray.put(_WorkerSetup(os.path.abspath(plan.root), plan.settings, plan.settings.read_models()))
    attempts: Any = ray.remote(_Attempts).options(num_cpus=0).remote()
    rows = [
        {"unit": number, "videos": _VIDEOS.dump_json(unit.videos), "share": list(unit.share)}
        for number, unit in enumerate(units)
    ]
    workers = min(workers, len(units))
    with ray.data.DataContext.current(quiet_context()):
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Worker,
            fn_constructor_args=(setup, attempts),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers),
            num_cpus=1,
        )
    del rows
    try:
        for reference in ray_private.iter_block_refs(dataset):
            for row in ray.get(reference).to_pylist():
                yield units[row["unit"]], _result(row)
    except ray.exceptions.RayError as error:
        raise RunFailedError(
            f"the pass over the videos failed: {last_line(error)}",
            where=plan.root,
            remedy="run the same command again to resume; -v shows Ray's messages",
        ) from error
    finally:
        ray.kill(attempts)


class _Attempts:
    """Counts how often a video, or a share of one, was begun: what kills its worker must not be retried for ever."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, work: str) -> int:
        """Return how often this was begun before."""
        before = self._begun.get(work, 0)
        self._begun[work] = before + 1
        return before

    def end(self, work: str) -> None:
        """Forget what is finished."""
        self._begun.pop(work, None)


_MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class _WorkerSetup:
    """What every worker needs; stored once in the object store and fetched once a node."""

    root: str
    settings: Settings
    models: dict[str, bytes]


class _Worker:
    """An actor with a detector.

    Args:
        setup: reference to a _WorkerSetup.
        attempts: handle of the _Attempts actor.
    """

    def __init__(self, setup: Any, attempts: Any) -> None:
        given: _WorkerSetup = ray.get(setup)
        self._attempts = attempts
        self._root = given.root
        self._extractor = Extractor(given.settings, given.models)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Process a batch of units: columns ``unit``, ``videos`` and ``share`` to one row a unit."""
        return pa.Table.from_pylist(
            [
                self._do(row["unit"], _VIDEOS.validate_json(row["videos"]), (row["share"][0], row["share"][1]))
                for row in batch.to_pylist()
            ],
            schema=_RESULT_SCHEMA,
        )

    def _do(self, unit: int, videos: tuple[SourceVideo, ...], share: Share) -> dict[str, Any]:
        reports, batches = [], []
        for video in videos:
            work = f"{share[0]} {video.video}"
            if ray.get(self._attempts.begin.remote(work)) < _MOST_ATTEMPTS:
                extracted = self._extractor.extract(self._root, video, share)
            else:
                extracted = unreadable(f"{_MOST_ATTEMPTS} processes died of it")
            self._attempts.end.remote(work)
            batches.append(extracted.records)
            reports.append(report_of(video, extracted))
        return {
            "unit": unit,
            "records": _to_ipc(batches),
            "reports": _REPORTS.dump_json(tuple(reports)),
            "pid": os.getpid(),
            "process_seconds": time.process_time(),
        }


_RESULT_SCHEMA = pa.schema(
    [
        pa.field("unit", pa.int64()),
        pa.field("records", pa.binary()),  # Arrow IPC stream of RECORD_SCHEMA
        pa.field("reports", pa.binary()),  # JSON
        pa.field("pid", pa.int64()),
        pa.field("process_seconds", pa.float64()),
    ]
)


def _to_ipc(batches: list[pa.RecordBatch]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, RECORD_SCHEMA) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return bytes(sink.getvalue())


def _result(row: dict[str, Any]) -> _Result:
    with pa.ipc.open_stream(row["records"]) as stream:
        table = stream.read_all()
    return _Result(table, _REPORTS.validate_json(row["reports"]), row["pid"], row["process_seconds"])
