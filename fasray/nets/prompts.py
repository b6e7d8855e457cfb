"""Twelve sentences about live and spoof faces as CLIP's token ids, and the features that a text tower gives them.

The sentences are those of FLIP (ICCV 2023). They are fixed, so no tokenizer is needed.

Shapes: C = 2 classes in the order (spoof, live), K sentences of a class, L tokens, F features.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fasray.nets.clip import CLIP, VOCABULARY, tower_shape

START, END = 49406, 49407
"""Token ids before and after every text."""

PROMPTS: tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]] = (
    {
        "This is an example of a spoof face": (589, 533, 550, 6228, 539, 320, 1261, 539, 1710),
        "This is an example of an attack face": (589, 533, 550, 6228, 539, 550, 3815, 1710),
        "This is not a real face": (589, 533, 783, 320, 1532, 1710),
        "This is how a spoof face looks like": (589, 533, 829, 320, 1261, 539, 1710, 1606, 789),
        "a photo of a spoof face": (320, 1125, 539, 320, 1261, 539, 1710),
        "a printout shown to be a spoof face": (320, 17851, 620, 8506, 531, 655, 320, 1261, 539, 1710),
    },
    {
        "This is an example of a real face": (589, 533, 550, 6228, 539, 320, 1532, 1710),
        "This is a bonafide face": (589, 533, 320, 1871, 24074, 654, 1710),
        "This is a real face": (589, 533, 320, 1532, 1710),
        "This is how a real face looks like": (589, 533, 829, 320, 1532, 1710, 1606, 789),
        "a photo of a real face": (320, 1125, 539, 320, 1532, 1710),
        "This is not a spoof face": (589, 533, 783, 320, 1261, 539, 1710),
    },
)
"""Sentences of class 0 (spoof) and of class 1 (live), and their token ids between START and END."""
PHOTO = 4
"""The sentence of each class in the form that CLIP's own classifiers use, "a photo of a ..."."""


def token_ids(which: Literal["one", "six"] = "six") -> Tensor:
    """Return [C * K, L] int64 ids: the spoof sentences, then the live ones, padded with 0 to the longest of all.

    Args:
        which: all six sentences of a class, or "a photo of a ..." only.
    """
    wanted = slice(None) if which == "six" else slice(PHOTO, PHOTO + 1)
    rows = [(START, *ids, END) for sentences in PROMPTS for ids in list(sentences.values())[wanted]]
    longest = max(map(len, rows))
    return torch.tensor([[*row, *(longest - len(row)) * (0,)] for row in rows], device="cpu")


class ClassPrompts(nn.Module):
    """The sentences of both classes, and what the text tower makes of them.

    Nothing of it is part of a checkpoint: it has no parameters, and its buffers follow from the text tower.

    Args:
        features: F of the text tower.
        which: see :func:`token_ids`.
        compact: whether the text tower knows the tokens of the twelve sentences only, as those of small forms do;
            ``vocabulary`` is how many it must know. Ids keep their order, so the end stays the greatest.
    """

    tokens: Tensor
    """[C * K, L]."""
    known: Tensor
    """[C, K, F], see :meth:`constant`."""

    def __init__(self, features: int, which: Literal["one", "six"] = "six", *, compact: bool = False) -> None:
        super().__init__()
        vocabulary, ids = torch.unique(token_ids()), token_ids(which)
        self.vocabulary = len(vocabulary) if compact else VOCABULARY
        tokens = torch.searchsorted(vocabulary, ids) if compact else ids
        self.register_buffer("tokens", tokens, persistent=False)
        self.register_buffer("known", torch.zeros(2, len(ids) // 2, features), persistent=False)
        self._of: tuple[object, ...] = ()

    def forward(self, clip: CLIP) -> Tensor:
        """Return the [C, K, F] features of the sentences, not of unit length; differentiable."""
        features = clip.encode_text(self.tokens)
        return features.view(2, -1, features.shape[1])

    @torch.no_grad()
    def constant(self, clip: CLIP) -> Tensor:
        """Return the same features without gradient and in full precision, for scoring and for a frozen text tower.

        They are computed once for each set of weights of the text tower, and taken as they are while a model is
        exported: score once before, so that an exported model holds them in place of the text tower.
        """
        if not (torch.compiler.is_exporting() or self.known.is_meta):
            weights = tuple((p.data_ptr(), p._version, p.dtype, p.device) for p in clip.text_parameters())
            if self._of != weights:
                with torch.autocast(self.known.device.type, enabled=False):
                    self.known.copy_(self(clip))
                self._of = weights
        return self.known


def with_prompts(width: float, image_size: int, which: Literal["one", "six"] = "six") -> tuple[CLIP, ClassPrompts]:
    """Return CLIP with random weights and the sentences for it; narrower than width 1, it knows their tokens only."""
    features = tower_shape(8, width)[0]
    prompts = ClassPrompts(features, which, compact=width != 1)
    return CLIP(width, image_size, prompts.vocabulary), prompts
