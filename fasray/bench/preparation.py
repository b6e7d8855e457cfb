"""The cost of preparation: each stage by itself, and the whole pipeline compared with the sum of its stages.

Everything is counted in processor time, so that a busy machine changes little: frames a second that one core would do.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fasray.bench.measurement import Benchmark, Measurement, machine, scratch
from fasray.errors import RunFailedError
from fasray.execution.ray_session import ray_session
from fasray.faces import jpeg, mimics
from fasray.faces.corpora import SourceVideo, get
from fasray.faces.detection import Face, Frame, detector_kind
from fasray.faces.extraction import labels
from fasray.faces.extraction.extract import Settings
from fasray.faces.extraction.frames import FrameRule, frames
from fasray.faces.mimics.writing import write_video
from fasray.faces.record import LIVE
from fasray.ingest.chunks import make_plan
from fasray.ingest.worklog import Worklog

if TYPE_CHECKING:
    from fasray.ingest.prepare import PreparationCost

CORPUS = "msu-mfsd"
_SIZE = (640, 480)
_FRAMES_OF_A_VIDEO = 30
_MEASURED = 16
_TITLES = {
    "decode": "decode: read a video, keep the frames that the rule takes",
    "detect": "detect: BlazeFace and the face mesh",
    "label": "label: crop, depth and parsing of the living",
    "encode": "encode: JPEG and its hash",
}


@dataclass(frozen=True)
class _Stages:
    """Processor seconds of the stages over some frames."""

    frames: int
    seconds: dict[str, float]

    @property
    def allowed(self) -> float:
        """Frames a processor second if nothing but the stages cost anything."""
        return self.frames / sum(self.seconds.values())


def measure_preparation(
    videos: int,
    repetitions: int = 3,
    say: Callable[[str], None] = lambda text: None,
    verbose: bool = False,
) -> Benchmark:
    """Prepare generated videos of 640x480, 10 frames each, and measure stages and whole.

    Args:
        videos: how many, 16 to 280.
        repetitions: how often the stages are measured, each over about 16 videos, and the whole, over all.
        say: called with what begins.
        verbose: let Ray's own messages through.

    Raises:
        DataError: the detector's models are not installed.
        RunFailedError: the pass was too short to be measured.
    """
    settings = Settings(FrameRule(count=10))
    models = settings.read_models()
    threads = cv2.getNumThreads()
    with scratch() as folder:
        cv2.setNumThreads(1)
        try:
            say("filming videos")
            source, films = _film(folder, videos)
            detector = detector_kind(settings.detector).build(models)
            say("measuring the stages")
            stages = [_measure_stages(source, films, settings, detector.find) for _ in range(repetitions)]
        finally:
            cv2.setNumThreads(threads)
        say("preparing all videos through Ray Data")
        with ray_session(verbose):
            costs = [_measure_whole(source, folder / f"set-{number}", settings) for number in range(repetitions)]
    allowed = Measurement("allowed", "what the sum of the stages allows", tuple(one.allowed for one in stages))
    rates = [
        Measurement(stage, title, tuple(one.frames / one.seconds[stage] for one in stages), baseline=False)
        for stage, title in _TITLES.items()
    ]
    rate = tuple(cost.frames / (cost.actor_seconds + cost.driver_seconds) for cost in costs)
    pipeline = Measurement("whole", "the whole pipeline, all its processes", rate, baseline=False)
    return Benchmark(
        "preparation",
        "frames per processor second",
        (pipeline, *rates, allowed),
        lower_is_better=False,
        facts={
            "videos": videos,
            "frames_of_a_video": _FRAMES_OF_A_VIDEO,
            "frames_taken": 10,
            "frame_size": f"{_SIZE[0]}x{_SIZE[1]}",
            "crop_size": settings.image_size,
            "whole_of_allowed": pipeline.median / allowed.median,
            "driver_share": sum(c.driver_seconds for c in costs)
            / sum(c.actor_seconds + c.driver_seconds for c in costs),
            "wall_seconds": sum(c.wall_seconds for c in costs) / len(costs),
            **machine(),
        },
    )


def _film(folder: Path, count: int) -> tuple[Path, list[SourceVideo]]:
    """Write a live and an attack video in both containers, and link them under ``count`` official names.

    Returns:
        The folder, and about 16 of its videos, evenly chosen, that the stages are measured on.
    """
    made, source = folder / "made", folder / "source"
    settings = mimics.MimicSettings(CORPUS, subjects=2, frames=_FRAMES_OF_A_VIDEO, size=_SIZE)
    films = {(video.label, video.path[-4:]): video for video in settings.videos()}
    for film in films.values():
        write_video(str(made), settings, film)
    official = get(CORPUS).official()
    for video in official[:: len(official) // count][:count]:
        path = source / video.path
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(made / films[video.label, video.path[-4:]].path, path)
    there = get(CORPUS).entries(str(source))
    return source, there[:: len(there) // _MEASURED]


def _measure_stages(
    source: Path, videos: list[SourceVideo], settings: Settings, find: Callable[[Frame], Face | None]
) -> _Stages:
    seconds = dict.fromkeys(_TITLES, 0.0)
    count = 0
    for video in videos:
        began = time.process_time()
        taken = [frame for _, frame in frames(str(source / video.path), settings.rule, lambda remark: None)]
        seconds["decode"] += time.process_time() - began
        for frame in taken:
            count += 1
            began = time.process_time()
            face = find(frame)
            seconds["detect"] += time.process_time() - began
            if face is None:
                continue
            began = time.process_time()
            crop = _label(frame, face, video, settings.image_size)
            labelled = time.process_time()
            hashlib.sha256(jpeg.encode(crop, settings.quality)).hexdigest()
            seconds["label"] += labelled - began
            seconds["encode"] += time.process_time() - labelled
    return _Stages(count, seconds)


def _label(frame: Frame, face: Face, video: SourceVideo, size: int) -> labels.Pixels:
    matrix = labels.crop_matrix(face.points, size)
    crop = labels.cut_out(frame, matrix, size)
    points = labels.in_crop(face.points, matrix)
    labels.five_landmarks(points)
    if video.label == LIVE:
        labels.depth_map(points, size)
        labels.parsing_map(points, size)
    return np.asarray(crop)


def _measure_whole(source: Path, out: Path, settings: Settings) -> PreparationCost:
    """Prepare the videos and return what it cost from the first result to the last."""
    from fasray.ingest.prepare import prepare  # imports Ray, which reads its settings from the session

    costs: list[PreparationCost] = []
    plan = make_plan(CORPUS, str(source), settings)
    prepare(plan, Worklog.open(str(out), plan), on_cost=costs.append)
    cost = costs[0]
    if not cost.frames:
        raise RunFailedError("the pass was too short to be measured", remedy="take more videos")
    return cost
