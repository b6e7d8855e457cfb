"""What a method sees between two steps if it asks for it: all training images, as they would be scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from fasray.errors import SpecError
from fasray.methods.base import Method
from fasray.protocols.roles import Roles
from fasray.seeds import derive
from fasray.training.batches import Batches, scoring_batch, valid_rows
from fasray.training.context import Context
from fasray.training.trial import Trial


class AllImages:
    """All training images in a fixed order, in batches that go round the workers; never changed.

    Args:
        label: [N] int64 on the device, 1 = live, 0 = spoof.
        domain: [N] int64 on the device, position among the source domains.
        images: gives those of a slice, [n, 3, S, S] float32 in [0, 1].
        batch: images at once.
        context: of this worker.
    """

    def __init__(
        self, label: Tensor, domain: Tensor, images: Callable[[slice], Tensor], batch: int, context: Context
    ) -> None:
        self.label, self.domain = label, domain
        self._images, self._batch, self._context = images, batch, context

    def __len__(self) -> int:
        return len(self.label)

    def __iter__(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield this worker's batches: their places in the order, and the images."""
        for place in self._places():
            yield place, self._images(place)

    def collect(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``of`` for all images, [N, ...] in their order, the same bits on every worker and for any number.

        Args:
            of: what is wanted of a batch of images, [n, ...] with the same ... for all batches.
        """
        found: Tensor | None = None
        for place, images in self:
            values = of(images)
            found = values.new_zeros((len(self), *values.shape[1:])) if found is None else found
            found[place] = values
        if found is None:  # fewer batches than workers: what others have found is added to nothing
            values = of(self._images(slice(0, min(self._batch, len(self)))))
            found = values.new_zeros((len(self), *values.shape[1:]))
        return found if self._context.world_size == 1 else self._context.total(found)

    def _places(self) -> Iterator[slice]:
        size, context = self._batch, self._context
        for start in range(context.rank * size, len(self), context.world_size * size):
            yield slice(start, min(start + size, len(self)))


def check_refresh(method: Method, trial: Trial) -> None:
    """Refuse a method that looks at all images every k steps where that cannot be.

    Raises:
        SpecError: they come once, in the order of a stream; or the method does not say what it does with them.
    """
    if method.refresh_every and type(method).refresh is Method.refresh:
        raise SpecError(
            f"{method.name} has refresh_every: {method.refresh_every}, but no refresh",
            where=f"method {method.name}",
            remedy="define `refresh(images, ctx)`, or leave refresh_every at 0",
        )
    if method.refresh_every and trial.training.ingest == "stream":
        raise SpecError(
            f"{method.name} looks at all training images every {method.refresh_every} steps; a stream has them once",
            where="key ingest",
            remedy="use `ingest: pool`",
        )


def training_images(trial: Trial, batches: Batches, roles: Roles, context: Context) -> AllImages:
    """Return a trial's training images, in the order of the table of faces."""
    source = batches.face_source
    rows = np.sort(valid_rows(source, roles.train))
    label, domain = (
        torch.from_numpy(column[rows].astype(np.int64)).to(context.device)
        for column in (source.index.label, roles.domain_id)
    )
    at_once = scoring_batch(trial.training, context.device)
    return AllImages(label, domain, lambda place: batches.as_scored(rows[place]), at_once, context)


def refresh_if_due(method: Method, context: Context, images: Callable[[], AllImages]) -> None:
    """Call the method's ``refresh`` if it is due before this step; networks are in evaluation mode, without gradients.

    What it draws from torch's own generators depends on seed and step alone, and leaves them as they are.
    """
    if not method.refresh_every or context.step % method.refresh_every:
        return
    devices = [context.device] if context.device.type == "cuda" else []
    method.networks.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(derive(context.seed, "refresh", context.step))
            method.refresh(images(), context)
    finally:
        method.networks.train()
