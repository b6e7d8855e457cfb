"""The one training loop: a generator that trains to each evaluation, evaluates, saves and yields.

The same trial gives the same bits on the same kind of machine: in a fresh process, in one that has run other trials,
and after any number of interruptions. Everything random is a function of (seed, purpose, step), so a checkpoint at an
evaluation is all that going on needs. What the target's scores are stays in the score files, until the end.
"""

from __future__ import annotations

import gc
import math
import os
import time
import weakref
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from fasray import storage
from fasray.errors import DivergedError
from fasray.faces.loading.face_source import FaceSource
from fasray.methods.base import Method
from fasray.nets.batchnorm import synchronise
from fasray.protocols.roles import Roles
from fasray.runs.checksums import record_files
from fasray.runs.layout import CHECKPOINT_FOLDER, TRIAL_FILE, score_file
from fasray.runs.reading import Reading
from fasray.runs.scores import find_scores, write_scores
from fasray.seeds import derive
from fasray.training import checkpoint
from fasray.training.batches import Batches
from fasray.training.context import Context
from fasray.training.evaluate import evaluation_of, score_table
from fasray.training.evaluation import Evaluation
from fasray.training.meter import Meter
from fasray.training.refresh import check_refresh, refresh_if_due, training_images
from fasray.training.trackers import Trackers
from fasray.training.trial import TrainingSpec, Trial

CHECK_EVERY = 20
"""Steps between two looks at whether the logs are still finite; each look waits for the device."""


def train(trial: Trial, face_source: FaceSource, roles: Roles, context: Context, *, reported_step: int = -1) -> None:
    """Run a trial to its end, or until ``context.should_stop()``; every evaluation goes to ``context.report``.

    Raises: as :func:`evaluations`.
    """
    running = evaluations(trial, face_source, roles, context, reported_step=reported_step)
    try:
        for evaluation in running:
            context.report(evaluation)
            if context.should_stop():
                break
    finally:
        running.close()


def evaluations(
    trial: Trial, face_source: FaceSource, roles: Roles, context: Context, *, reported_step: int = -1
) -> Generator[Evaluation, None, None]:
    """Train a trial and yield its evaluations in order.

    A trial that was interrupted goes on from its newest whole checkpoint. Evaluations after ``reported_step`` that it
    had already finished come first, read back from their score files; those up to ``reported_step`` never come
    again. Closing the generator stops the trial; its last checkpoint stays. Nothing global is left behind: threads,
    determinism settings and random state are put back, the networks are freed.

    Args:
        trial: what to train.
        face_source: all faces.
        roles: the protocol's rows of them; target rows are only scored.
        context: where the trial runs.
        reported_step: step of the last evaluation that the caller has on record, -1 for none.

    Raises:
        DivergedError: a log or a score is no longer finite; nothing of that evaluation is written.
        DataError: the faces do not do for this protocol.
        SpecError: the configuration does not do for these faces or workers.
    """
    held: list[weakref.ref[object]] = []
    try:
        with reproducible(trial.training.threads, context.device, deterministic=trial.training.deterministic):
            yield from _Run(trial, face_source, roles, context, held).evaluations(reported_step)
    finally:
        if trial.training.compile:
            torch.compiler.reset()  # what is compiled for this trial's networks is of no use to the next
        if any(reference() is not None for reference in held):
            gc.collect()  # a method with reference cycles; looking through the whole heap takes half a second
        if context.device.type == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def reproducible(threads: int, device: torch.device, *, deterministic: bool = True) -> Iterator[None]:
    """Set torch to ``threads`` CPU threads and to equal bits run for run, and put everything back at the end.

    Args:
        threads: of the CPU.
        device: that is computed on.
        deterministic: whether bits are to be equal. If not: torch's defaults, the algorithms that cuDNN finds fastest,
            and TF32 (float32 rounded to 10 bits of mantissa) in matrix products too, not in convolutions alone.
    """
    memory: Any = torch.utils.deterministic
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
        cudnn.benchmark,
        cudnn.deterministic,
        cudnn.allow_tf32,
        matmul.allow_tf32,
    )
    cuda: Any = torch.backends.cuda
    attention = cuda.mem_efficient_sdp_enabled(), cuda.cudnn_sdp_enabled()
    devices = [device] if device.type == "cuda" else []
    if devices and deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed one
    try:
        with torch.random.fork_rng(devices=devices):
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic, warn_only=True)
            memory.fill_uninitialized_memory = False  # costs time and guards against bugs only
            cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
            cudnn.allow_tf32, matmul.allow_tf32 = True, not deterministic
            _allow_attention(*(enabled and not deterministic for enabled in attention))
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1], warn_only=before[2])
        memory.fill_uninitialized_memory = before[3]
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = before[4:]
        _allow_attention(*attention)


def _allow_attention(memory_efficient: bool, cudnn: bool) -> None:
    """Allow the fused attention of a GPU whose gradients are not the same run for run."""
    torch.backends.cuda.enable_mem_efficient_sdp(memory_efficient)
    torch.backends.cuda.enable_cudnn_sdp(cudnn)


def set_memory_format(method: Method, training: TrainingSpec) -> None:
    """Give a built method's weights the memory layout that the trial computes in."""
    if training.channels_last:
        for parameter in [*method.networks.parameters(), *method.networks.buffers()]:
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def compile_networks(method: Method, training: TrainingSpec) -> None:
    """Have torch compile what the method names, if the trial asks for it; each shape of a batch by itself.

    A graph for any shape would come of the second one that a process sees: a resumed trial would round otherwise.
    """
    if training.compile:
        for name in method.compiled:
            method.networks[name].compile(dynamic=False)


def uncompiled(training: TrainingSpec) -> AbstractContextManager[object]:
    """Score with the networks as they are written, as everything else that scores does."""
    return torch.compiler.set_stance("force_eager") if training.compile else nullcontext()


class _Run:
    """One trial in this process, from building its networks on; ``held`` gets references to what takes memory."""

    def __init__(
        self, trial: Trial, face_source: FaceSource, roles: Roles, context: Context, held: list[weakref.ref[object]]
    ) -> None:
        self.trial, self.face_source, self.roles, self.context = trial, face_source, roles, context
        self.meter = Meter(context)
        training = trial.training
        context.step = 0
        if context.rank == 0:
            _write_spec(trial, context)
        self.method = trial.build_method()
        torch.manual_seed(derive(trial.seed, "init"))
        self.method.build(
            trial.shape(
                len(roles.domains),
                backbone_weights=training.weights_of(self.method),
                weights_folder=context.weights_folder,
                device=context.device,
            )
        )
        started = context.rank == 0 and training.weights_of(self.method) != "none"
        self.rebuilt = checkpoint.frozen_parameters(self.method) if started else None
        synchronise(self.method.networks, context.average, context.world_size)
        set_memory_format(self.method, training)
        compile_networks(self.method, training)
        self.method.networks.train()
        held += map(weakref.ref, (self.method, *self.method.networks.parameters(), *self.method.optimizers.values()))
        check_refresh(self.method, trial)
        self.batches = Batches(trial, face_source, roles, self.method, context)
        self.history: list[Reading] = []
        self.stored = self._resume()

    def _resume(self) -> dict[int, pa.Table]:
        """Go back to the newest usable checkpoint; return the score tables of the evaluations up to it.

        A checkpoint is usable if every evaluation up to it has its score file: results are read from those.
        """
        folder = self.context.resume()
        there = checkpoint.steps(folder) if folder is not None else []
        tables: dict[int, pa.Table] = {}
        if folder is None or not there:
            return tables
        for step in self.trial.training.evaluation_steps():
            table = find_scores(score_file(self.context.trial_dir, step), self.trial.id, step)
            if table is None:
                break
            tables[step] = table
        found = checkpoint.newest(folder, self.method, self.trial, [step for step in there if step in tables])
        if found is None:
            return {}
        checkpoint.restore(found, self.method)
        self.context.step = found.step
        self.history = list(found.card.history)
        return {step: table for step, table in tables.items() if step <= found.step}

    def evaluations(self, reported_step: int) -> Iterator[Evaluation]:
        for step, table in self.stored.items():
            if self.context.rank == 0:
                record_files(self.context.trial_dir, step, renew=False)
            if step > reported_step:
                yield evaluation_of(self.trial, table, score_file(self.context.trial_dir, step))
        remaining = [step for step in self.trial.training.evaluation_steps() if step not in self.stored]
        if not remaining:
            return
        context = self.context
        trackers = Trackers(
            context.tracking if context.rank == 0 else (), context.trial_dir, self.trial, stage=context.stage,
            after_step=context.step,
        )  # fmt: skip
        for step, table in self.stored.items():
            trackers.seen(step, table)
        try:
            self.batches.open(self.context.step, remaining)
            for step in remaining:
                evaluation = self._advance(step, trackers)
                if step > reported_step:
                    yield replace(evaluation, reading=self.meter.charge(evaluation.reading))
        finally:
            self.batches.close()
            trackers.close()

    def _advance(self, step: int, trackers: Trackers) -> Evaluation:
        """Train to ``step``, evaluate there and write everything down."""
        context, began, first = self.context, time.perf_counter(), self.context.step
        logs = self._train_to(step)
        trained = time.perf_counter() - began
        uri = score_file(context.trial_dir, step)
        with uncompiled(self.trial.training):
            table = score_table(self.trial, self.batches, self.roles, self.method, context, logs)
        if context.rank == 0:
            table = write_scores(uri, table)
        seconds = time.perf_counter() - began
        evaluation = evaluation_of(
            self.trial,
            table,
            uri,
            seconds=seconds,
            evaluation_seconds=seconds - trained,
            images_per_second=(step - first) * self.batches.images_per_step / max(trained, 1e-9),
        )
        self.history.append(evaluation.reading)
        trackers.add(evaluation, table)  # before the checkpoint: a point that comes twice is harmless, a lost one not
        if evaluation.done:
            trackers.finish(self.history)
        if context.rank == 0:
            folder = storage.join(context.trial_dir, CHECKPOINT_FOLDER)
            checkpoint.save(folder, self.method, self.trial, self.roles.domains, self.history, self.rebuilt)
            record_files(context.trial_dir, step, renew=True)
        return evaluation

    def _train_to(self, step: int) -> dict[str, float]:
        context, logs = self.context, _Logs(self.trial, self.context)
        images = partial(training_images, self.trial, self.batches, self.roles, context)
        while context.step < step:
            if context.first_step_at is None:
                context.first_step_at = time.time()
            refresh_if_due(self.method, context, images)
            # Dropout and the like draw from torch's own generators: reseeded, so that a resumed run draws alike.
            torch.manual_seed(derive(self.trial.seed, "torch", context.step))
            draws = self.batches.step(context.step)
            with self._autocast():
                logs.add(self.method.step(draws, context))
            context.step += 1
            if context.step % CHECK_EVERY == 0:
                logs.check()
        return logs.check()

    def _autocast(self) -> torch.autocast:
        wanted = self.trial.training.precision == "bf16"
        return torch.autocast(self.context.device.type, dtype=torch.bfloat16, enabled=wanted)


def _write_spec(trial: Trial, context: Context) -> None:
    """Write the trial's specification next to its score files, once."""
    uri = storage.join(context.trial_dir, TRIAL_FILE)
    storage.write_once(uri, trial.model_dump_json(indent=1).encode())


class _Logs:
    """Sums of a method's logs, kept on the device; a NaN or an infinity stays in its sum."""

    def __init__(self, trial: Trial, context: Context) -> None:
        self._trial, self._context = trial, context
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, logs: Mapping[str, Tensor]) -> None:
        for name, value in logs.items():
            value = value.detach().to(torch.float64)
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def check(self) -> dict[str, float]:
        """Return the means over steps and workers; every worker must log the same names."""
        names = sorted(self._sums)
        if not names:
            return {}
        sums = self._context.total(torch.stack([self._sums[name] for name in names])).tolist()
        for name, total in zip(names, sums, strict=True):
            if not math.isfinite(total):
                raise DivergedError(
                    f"{name} is not a finite number any more",
                    where=f"trial {self._trial.id}, step {self._context.step}",
                    remedy="lower the learning rate or the loss weights",
                )
        return {
            name: total / (self._counts[name] * self._context.world_size)
            for name, total in zip(names, sums, strict=True)
        }
