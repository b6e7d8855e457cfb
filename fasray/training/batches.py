"""From rows of a face source to the draws of one step: picked, augmented, on the device; this worker's share only."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fasray.errors import SpecError
from fasray.faces.loading import augment
from fasray.faces.loading.face_source import FaceSource
from fasray.faces.loading.sampler import Sampler
from fasray.methods.base import Draw, Method
from fasray.protocols.roles import Roles
from fasray.seeds import stream
from fasray.training.context import Context
from fasray.training.evaluate import valid_rows
from fasray.training.trial import Trial


class Batches:
    """The training batches of a trial, any step at random access.

    Args:
        trial: whose seed and training section decide.
        face_source: where the pixels are.
        roles: only ``train`` rows are ever read.
        method: says what it needs.
        context: gives rank and device.

    Raises:
        DataError: a training domain lacks one of the classes.
        SpecError: the batch cannot be shared by the workers, the image size does not fit the stored crops, or the
            trial is to be streamed and the faces are not, or the other way round.
    """

    def __init__(self, trial: Trial, face_source: FaceSource, roles: Roles, method: Method, context: Context) -> None:
        self._seed, self._face_source, self._device = trial.seed, face_source, context.device
        if (trial.training.ingest == "stream") != (face_source.row_group is not None):
            raise SpecError(
                f"this trial is for `ingest: {trial.training.ingest}`, and its faces come otherwise",
                where="key ingest",
                remedy="its batches would come in another order; train it as part of a sweep with that key",
            )
        self._needs, self._augment = method.needs, trial.training.augment_of(method)
        self._size = trial.training.image_size
        self._layout = torch.channels_last if trial.training.channels_last else torch.contiguous_format
        self.sampler = Sampler(
            face_source.index,
            valid_rows(face_source, roles.train),
            roles.domain_id,
            roles.domains,
            trial.training.sampling_of(method),
            trial.seed,
            face_source.row_group,
        )
        self._context = context
        self._positions = self.sampler.positions(context.rank, context.world_size)
        self._label: NDArray[np.int64] = face_source.index.label.astype(np.int64)
        self._domain = roles.domain_id

    @property
    def images_per_step(self) -> int:
        """Training images of all workers and draws together, views not counted."""
        return self.sampler.batch * self.sampler.sampling.draws

    def step(self, step: int) -> list[Draw]:
        """Return the draws of the step that follows ``step`` finished ones."""
        return [self._draw(step, draw) for draw in range(self.sampler.sampling.draws)]

    def _draw(self, step: int, draw: int) -> Draw:
        rows = self.sampler.rows(step, draw)[self._positions]
        faces = self._face_source.pick(rows, depth=self._needs.depth, parsing=self._needs.parsing)
        self._context.bytes_read += faces.nbytes
        maps = [
            augment.sample_parameters(
                stream(self._seed, "augment", step, draw, view),
                self.sampler.batch,
                self._augment,
                self._face_source.image_size,
                self._size,
            )[self._positions]
            for view in range(self._needs.views)
        ]
        views = [augment.apply(faces.images, one, self._size, self._device) for one in maps]
        depth, parsing = faces.depth, faces.parsing
        return Draw(
            views=tuple(view.contiguous(memory_format=self._layout) for view in views),
            label=torch.from_numpy(self._label[rows]).to(self._device),
            domain=torch.from_numpy(self._domain[rows]).to(self._device),
            depth=None if depth is None else augment.apply_depth(depth, maps[0], self._size, self._device),
            parsing=None if parsing is None else augment.apply_parsing(parsing, maps[0], self._device),
        )
