"""From rows of a face source to the draws of a step and the images of an evaluation: a worker's share, on its device.

The host picks rows and draws maps; what a step needs crosses to the device in one upload, and there images are cut,
resampled and mirrored, all of a draw at once. Where the pixels come from is the batches' ``way``; the numbers are the
same whichever it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fasray.errors import SpecError
from fasray.faces.loading import augment
from fasray.faces.loading.augment_colour import recolour
from fasray.faces.loading.device_faces import DeviceFaces, copy_bytes, device_faces, fits_on_card, forget_copy
from fasray.faces.loading.face_source import FaceSource
from fasray.faces.loading.pool import FacePool
from fasray.faces.loading.prefetch import Prefetch
from fasray.faces.loading.read_schedule import Scoring, read_schedule
from fasray.faces.loading.row_groups import Rows
from fasray.faces.loading.sampler import Sampler
from fasray.faces.loading.upload import Upload, Uploader
from fasray.faces.loading.windows import Windows
from fasray.faces.record import ATTACK_TYPES
from fasray.methods.base import Draw, Method, Needs
from fasray.protocols.roles import Roles, spaced_frames
from fasray.seeds import stream
from fasray.training.context import Context
from fasray.training.trial import TrainingSpec, Trial

Way = Literal["resident", "prefetch", "direct"]
"""``resident``: from a copy of the pool on the device; ``prefetch``: uploaded, picked ahead by a thread; ``direct``:
uploaded, picked when they are needed."""

_Key = tuple[Literal["train", "score"], int]
"""A step, or a part of an evaluation."""
_Arrays = dict[str, NDArray[Any]]
_MAPS = ("theta", "corner", "flipped")
_FULL_SIZE = 256
_AHEAD = 2
"""Batches that are picked and uploaded while a step computes."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """What a step or a part of an evaluation needs, on its way to the device."""

    key: _Key
    upload: Upload
    nbytes: int
    """Of faces, taken from the source."""


class Batches:
    """The training batches of a trial, any step at random access, and the images that its evaluations score.

    Args:
        trial: whose seed and training section decide.
        face_source: where the pixels are.
        roles: only ``train`` rows are ever trained on.
        method: says what it needs.
        context: gives rank and device.
        way: how pixels come to the device; None: ``resident`` from a pool that fits on the GPU, else ``prefetch`` to a
            GPU and from a stream, else ``direct``: the one CPU of a trial gains nothing by a second thread.

    Raises:
        DataError: a training domain lacks one of the classes.
        SpecError: the batch cannot be shared by the workers, the image size does not fit the stored crops, or the
            trial is to be streamed and the faces are not, or the other way round.
    """

    def __init__(
        self,
        trial: Trial,
        face_source: FaceSource,
        roles: Roles,
        method: Method,
        context: Context,
        way: Way | None = None,
    ) -> None:
        training = trial.training
        if (training.ingest == "stream") != (face_source.row_group is not None):
            raise SpecError(
                f"this trial is for `ingest: {training.ingest}`, and its faces come otherwise",
                where="key ingest",
                remedy="its batches would come in another order; train it as part of a sweep with that key",
            )
        self.face_source = face_source
        self._seed, self._context, self._device = trial.seed, context, context.device
        self._needs, self._augments, self._size = method.needs, training.augments_of(method), training.image_size
        self._layout = torch.channels_last if training.channels_last else torch.contiguous_format
        self.sampler = Sampler(
            face_source.index,
            valid_rows(face_source, roles.train),
            roles.domain_id,
            roles.domains,
            training.sampling_of(method),
            trial.seed,
            face_source.row_group,
        )
        self._positions = self.sampler.positions(context.rank, context.world_size)
        self._columns = _columns(face_source, roles, self._needs)
        self.scored = scored_rows(trial, face_source, roles)
        """The rows that every evaluation scores, source-dev first, then those of each target, as ``Roles.scored``."""
        self._eval_batch = scoring_batch(training, self._device)
        self._exact = [augment.is_exact(one) for one in self._augments]
        self._recolours = any(one.recolours for one in self._augments)
        self._eval_maps = augment.evaluation_parameters(1, self._augments[0], face_source.image_size, self._size)
        self._eval_theta = torch.from_numpy(self._eval_maps.theta).to(self._device)
        self._faces = self._resident(way)
        self.way: Way = "resident" if self._faces else way or self._way()
        self._upload, self._upload_now = Uploader(self._device, ahead=self.way == "prefetch"), Uploader(self._device)
        self._made_ahead: Prefetch[_Batch] | None = None

    @property
    def images_per_step(self) -> int:
        """Training images of all workers and draws together, views not counted."""
        return self.sampler.batch * self.sampler.sampling.draws

    def open(self, first: int, evaluations: Sequence[int]) -> None:
        """Begin a run through steps and evaluations in order; to a stream it is announced what will be picked.

        Args:
            first: steps done before.
            evaluations: steps after which there is an evaluation, ascending; training ends at the last.
        """
        self.close()
        source, context = self.face_source, self._context
        if source.row_group is not None:
            scoring = Scoring(self.scored, self._eval_batch, source.row_group)
            reads = read_schedule(self.sampler, scoring, first, evaluations, context.rank, context.world_size)
            source.set_read_order(reads, depth=self._needs.depth, parsing=self._needs.parsing)
        if self.way == "prefetch":
            self._made_ahead = Prefetch(self._in_order(first, evaluations), _AHEAD)

    def close(self) -> None:
        """End the run; steps can still be had at random access, but not from a stream."""
        if self._made_ahead is not None:
            self._made_ahead.close()
            self._made_ahead = None

    def step(self, step: int) -> list[Draw]:
        """Return the draws of the step that follows ``step`` finished ones; within a run, the next one."""
        tensors = self._taken(("train", step))
        return [self._draw(tensors, draw) for draw in range(self.sampler.sampling.draws)]

    def images_to_score(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield this worker's share of an evaluation, batch after batch.

        Yields:
            Their place in ``scored``, one part after the other, and the images, [B, 3, S, S] float32 in [0, 1].
        """
        places, size = self._places, self._eval_batch
        if self._faces is not None and places:
            rows, images = self._taken(("score", 0))["rows"], self._middle(self._faces.images)
            for number, place in enumerate(places):
                chosen = rows[number * size : (number + 1) * size]
                yield place, self._eval_images(images.index_select(0, chosen))
            return
        for number, place in enumerate(places):
            yield place, self._eval_images(self._taken(("score", number))["images"])

    def as_scored(self, rows: Rows) -> Tensor:
        """Return any rows of a pool as they would be scored, [n, 3, S, S]."""
        if self._faces is not None:
            chosen = self._upload_now({"rows": rows}).tensors()["rows"]
            return self._eval_images(self._middle(self._faces.images).index_select(0, chosen))
        images, nbytes = self._picked(rows)
        self._context.bytes_read += nbytes
        return self._eval_images(self._upload_now({"images": images}).tensors()["images"])

    def _middle(self, images: Tensor) -> Tensor:
        """Return the middle windows of whole crops, if it is windows that are scored."""
        if not self._eval_maps.exact:
            return images
        top, left = self._eval_maps.corner[0].tolist()
        return images[:, top : top + self._size, left : left + self._size]

    def _resident(self, way: Way | None) -> DeviceFaces | None:
        pool, needs, share = self.face_source, self._needs, min(self._context.gpus, 1.0) or 1.0
        if not isinstance(pool, FacePool) or not (way == "resident" or (way is None and self._device.type == "cuda")):
            return None
        most = self._context.faces_bytes
        if way is None and most is not None and copy_bytes(pool, depth=needs.depth, parsing=needs.parsing) > most:
            forget_copy(pool)  # of a method that takes less of the same share
            return None
        known = way is not None or most is not None
        allowed = (lambda need: True) if known else partial(fits_on_card, device=self._device, share=share)
        return device_faces(pool, self._device, depth=needs.depth, parsing=needs.parsing, allowed=allowed)

    def _way(self) -> Way:
        return "prefetch" if self._device.type == "cuda" or self.face_source.row_group is not None else "direct"

    def _in_order(self, first: int, evaluations: Sequence[int]) -> Iterator[_Batch]:
        for last in evaluations:
            yield from (self._made(("train", step)) for step in range(first, last))
            yield from (self._made(("score", number)) for number in range(len(self._places)))
            first = last

    def _taken(self, key: _Key) -> dict[str, Tensor]:
        batch = self._made(key) if self._made_ahead is None else next(self._made_ahead)
        if batch.key != key:
            raise RuntimeError(f"batches come in the order of the run: {batch.key} is next, not {key}")
        self._context.bytes_read += batch.nbytes
        return batch.upload.tensors()

    def _made(self, key: _Key) -> _Batch:
        """Pick what a step or a part of an evaluation needs and send it to the device; on any thread."""
        purpose, number = key
        arrays, nbytes = self._step_arrays(number) if purpose == "train" else self._eval_arrays(number)
        return _Batch(key, self._upload(arrays), nbytes)

    def _step_arrays(self, step: int) -> tuple[_Arrays, int]:
        """Return rows [D, B] or their pixels, labels, and for all V views and D draws the maps [V, D, B, ...]."""
        draws, views = range(self.sampler.sampling.draws), range(self._needs.views)
        rows = np.stack([self.sampler.rows(step, draw)[self._positions] for draw in draws])
        maps = [[self._maps(step, draw, view) for draw in draws] for view in views]
        drawn = {name: np.array([[getattr(one, name) for one in of] for of in maps]) for name in _MAPS}
        if self._recolours:
            drawn["look"] = np.array([[augment.look_of(one) for one in of] for of in maps])
        arrays = {**{name: column[rows] for name, column in self._columns.items()}, **drawn}
        if self._faces is not None:
            return {"rows": rows, **arrays}, 0
        lead = (len(views), *rows.shape)
        windows = None
        if all(self._exact):
            corner, flipped = drawn["corner"].reshape(len(views), -1, 2), drawn["flipped"].reshape(len(views), -1)
            windows = Windows(corner, flipped, self._size)
        needs = self._needs
        faces = self.face_source.pick(rows.reshape(-1), depth=needs.depth, parsing=needs.parsing, windows=windows)
        arrays["images"] = faces.images.reshape(*(lead if windows else rows.shape), *faces.images.shape[-3:])
        for name, labels in (("depth", faces.depth), ("parsing", faces.parsing)):
            if labels is not None:
                arrays[name] = labels.reshape(*rows.shape, *labels.shape[1:])
        return arrays, faces.nbytes

    def _eval_arrays(self, number: int) -> tuple[_Arrays, int]:
        """Return the rows of all of this worker's share, or the pixels of a part of it."""
        if self._faces is not None:
            return {"rows": np.concatenate([self._to_score[place] for place in self._places])}, 0
        images, nbytes = self._picked(self._to_score[self._places[number]])
        return {"images": images}, nbytes

    def _picked(self, rows: Rows) -> tuple[NDArray[np.uint8], int]:
        """Return the whole crops that are scored, or their middle windows, and the bytes that they took."""
        windows = None
        if self._eval_maps.exact:
            corner = np.broadcast_to(self._eval_maps.corner, (1, len(rows), 2))
            windows = Windows(corner, np.zeros((1, len(rows)), dtype=np.bool_), self._size)
        faces = self.face_source.pick(rows, windows=windows)
        return faces.images[0] if windows else faces.images, faces.nbytes

    @cached_property
    def _to_score(self) -> Rows:
        return np.concatenate(self.scored)

    @cached_property
    def _places(self) -> list[slice]:
        """Return the places in ``scored`` of this worker's batches: they go round the workers."""
        count, size, context = len(self._to_score), self._eval_batch, self._context
        starts = range(context.rank * size, count, context.world_size * size)
        return [slice(start, min(start + size, count)) for start in starts]

    def _maps(self, step: int, draw: int, view: int) -> augment.Parameters:
        rng = stream(self._seed, "augment", step, draw, view)
        stored = self.face_source.image_size
        spec, count = self._augments[view], self.sampler.batch
        return augment.sample_parameters(rng, count, spec, stored, self._size)[self._positions]

    def _draw(self, tensors: Mapping[str, Tensor], draw: int) -> Draw:
        """Make a draw on the device."""
        theta = tensors["theta"][0, draw]
        depth, parsing = (self._labels(name, tensors, draw) for name in ("depth", "parsing"))
        return Draw(
            views=tuple(view.contiguous(memory_format=self._layout) for view in self._views(tensors, draw)),
            **{name: tensors[name][draw] for name in self._columns},
            depth=None if depth is None else augment.depth_target(depth, theta, self._size),
            parsing=None if parsing is None else augment.parsing_target(parsing, theta),
        )

    def _views(self, tensors: Mapping[str, Tensor], draw: int) -> list[Tensor]:
        shown = self._cut(tensors, draw) if all(self._exact) else self._sampled(tensors, draw)
        return [
            recolour(images, tensors["look"][view, draw], spec) if spec.recolours else images
            for view, (images, spec) in enumerate(zip(shown, self._augments, strict=True))
        ]

    def _cut(self, tensors: Mapping[str, Tensor], draw: int) -> list[Tensor]:
        """Return the views if all are windows: they are cut on the device, or have been before they were sent there."""
        numbers, faces = range(self._needs.views), self._faces
        if faces is None:
            return [augment.to_float(tensors["images"][view, draw]) for view in numbers]
        return [self._window(faces.images, tensors["rows"][draw], tensors, draw, view) for view in numbers]

    def _sampled(self, tensors: Mapping[str, Tensor], draw: int) -> list[Tensor]:
        """Return the views out of whole crops; what is a window is not resampled."""
        faces = self._faces
        images = tensors["images"][draw] if faces is None else faces.images.index_select(0, tensors["rows"][draw])
        whole, rows = augment.to_float(images), torch.arange(len(images), device=images.device)
        return [
            self._window(images, rows, tensors, draw, view)
            if self._exact[view]
            else augment.resample(whole, tensors["theta"][view, draw], self._size, spec.interpolation)
            for view, spec in enumerate(self._augments)
        ]

    def _window(self, images: Tensor, rows: Tensor, tensors: Mapping[str, Tensor], draw: int, view: int) -> Tensor:
        corner, flipped = tensors["corner"][view, draw], tensors["flipped"][view, draw]
        return augment.to_float(augment.gather_windows(images, rows, corner, flipped, self._size))

    def _labels(self, name: str, tensors: Mapping[str, Tensor], draw: int) -> Tensor | None:
        if not getattr(self._needs, name):
            return None
        if self._faces is None:
            return tensors[name][draw]
        stored: Tensor = getattr(self._faces, name)
        return stored.index_select(0, tensors["rows"][draw])

    def _eval_images(self, images: Tensor) -> Tensor:
        """Return the batch that is scored of whole crops, or of windows of the right size."""
        x = augment.to_float(images)
        if not self._eval_maps.exact:
            x = augment.resample(x, self._eval_theta.expand(len(x), -1, -1), self._size)
        return x.contiguous(memory_format=torch.channels_last) if self._layout is torch.channels_last else x


def _columns(face_source: FaceSource, roles: Roles, needs: Needs) -> dict[str, NDArray[np.int64]]:
    """Return what a draw has of the table of faces, [N] each, by name; for training rows only."""
    index, columns = face_source.index, {"label": face_source.index.label.astype(np.int64), "domain": roles.domain_id}
    if needs.attack_type:
        names, inverse = np.unique(index.attack_type, return_inverse=True)
        columns["attack_type"] = np.array([ATTACK_TYPES.index(name) for name in names], np.int64)[inverse]
    if needs.subject:
        columns["subject"] = np.searchsorted(np.unique(index.subject[roles.train]), index.subject)
    return columns


def scoring_batch(training: TrainingSpec, device: torch.device) -> int:
    """Return how many images are scored at once on a device: ``eval_batch_size``, and on a GPU more of small ones.

    A GPU would wait for the host between batches of few pixels. So many images below 256 px have the pixels, and take
    about the memory, of ``eval_batch_size`` images of that size.
    """
    more = _FULL_SIZE**2 // training.image_size**2 if device.type == "cuda" else 1
    return training.eval_batch_size * max(1, more)


def scored_rows(trial: Trial, face_source: FaceSource, roles: Roles) -> tuple[Rows, ...]:
    """Return the rows that every evaluation scores, source-dev first, then those of each target.

    With ``eval_frames`` they are evenly spaced over those rows of a video whose image could be decoded.
    """
    index, count = face_source.index, trial.training.eval_frames
    return tuple(spaced_frames(index, valid_rows(face_source, rows), count) for rows in roles.scored.values())


def valid_rows(face_source: FaceSource, rows: Rows) -> Rows:
    """Return the rows whose image could be decoded."""
    return rows[face_source.valid[rows]]
