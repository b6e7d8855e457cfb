"""FLIP: adapt CLIP to face anti-spoofing by comparing faces with sentences about live and spoof faces.

Srivatsan, Naseer and Nandakumar, FLIP: Cross-domain Face Anti-spoofing with Language Guidance, ICCV 2023
(arXiv 2309.16649). FLIP-V, FLIP-IT and FLIP-MCL are ``variant: v``, ``it`` and ``mcl``.

Idea: CLIP's weights know more of images than any source domain shows, and its text tower turns class names into
classifiers. FLIP-V fine-tunes the image tower under a plain classifier. FLIP-IT scores a face by its cosine with the
mean of six sentences of each class, and trains both towers. FLIP-MCL also asks that two strongly augmented views of a
face be alike (SimCLR), and be as near to one part of their class's sentences as to the rest.

    equation                                                                          function
    T_c = mean over sentences k of text(c, k), unnormalised                           nets.prompts.ClassPrompts
    L_IT = CE(exp(scale) cos(f, T_c), y)                                               image_text_logits
    L_SimCLR = InfoNCE of u = MLP(f(view)), two views of N images, temperature T       contrastive_loss
    L_MSE = mean of (cos(f(view 1), mean of P) - cos(f(view 2), mean of Q))^2          prompt_consistency
    P = three of the class's sentences, drawn with replacement; Q = those not drawn    draw_sentences
    FLIP-MCL: L = L_IT + w_simclr L_SimCLR + w_mse L_MSE                               FLIP.step
    FLIP-V: CE of a linear classifier on e / sqrt(2 |e|), e = dropout(ReLU(W h))       FLIP.step

No loss looks at the domain: only the batches are balanced over domains. Where the official code is special, and what
we do; its losses are those of the paper, so there is no ``code`` setting:
- Images are normalised by ImageNet's mean and spread, not by CLIP's: ``normalisation``. Default: ImageNet's, as there.
- FLIP-V's classifier has its weights replaced by normalised ones before each use, as SSDG's: the same code here.
- Another saturation may wrap around in the code's bytes; ours stays in range. The code makes its strong views of the
  plain one, so that its other saturation is in them too; ours are made of the stored crop.
- One fixed frame of a video trains in the code; we take another one in each pass. Parts of sentences and dropout masks
  come from named streams.
- With ``prompts: one`` nothing is left for Q, so that both views are compared with the one sentence. Ours.
- Each view goes through the MLP and its batch normalisation by itself, as in the code.
- The learning rate is that of pretrained weights. From random ones, 1e-6 learns nothing: such a sweep is refused.

Published HTER / AUC in %, FLIP-MCL: OCI->M 4.95/98.11, OMI->C 0.54/99.98, OCM->I 4.25/99.07, ICM->O 2.31/99.63. They
are **of another protocol**: CelebA-Spoof is a fourth source, and the test videos of the sources train too; the lowest
HTER of 40 looks at the target, at its own EER threshold, mean of five seeds. A user of the code reports 7.97/97.42 for
ICM->O. They must not be put next to a run without CelebA-Spoof.

At full size FLIP-IT has CLIP's 149,620,737 parameters, FLIP-MCL 19,947,776 more in its MLP, and FLIP-V, which has no
text tower, 86,194,178. An exported FLIP-MCL is as large as the image tower. A step of FLIP-MCL with the paper's 24
images takes 10.6 GiB in float32, Adam included.

Shapes: B images of this worker, N of all workers, F features (512 * width), C = 2 classes in the order (spoof, live),
K sentences of a class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.losses.contrastive import contrastive_loss
from fasray.losses.image_text import image_text_logits
from fasray.losses.precision import full, no_autocast
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import quantity
from fasray.methods.space import Choice, LogUniform, Range
from fasray.nets.batchnorm import BatchNorm1d
from fasray.nets.clip import CLIP, CLIP_MEAN, CLIP_STD, ImageTower
from fasray.nets.dropout import dropout_mask, share_of
from fasray.nets.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize
from fasray.nets.prompts import ClassPrompts, with_prompts
from fasray.nets.resnet import scaled
from fasray.nets.ssdg import Embedding, normalised_features
from fasray.nets.weights import load_backbone

EMBEDDED = 512
"""Features of FLIP-V's embedding at width 1."""
HIDDEN, PROJECTED = 4096, 256
"""Features of the projection's hidden layers and of its output at width 1."""
DRAWN = 3
"""Sentences that are drawn for an image's first view."""


class FLIPConfig(MethodConfig):
    """Settings of FLIP; the defaults are those of the official training script."""

    variant: Literal["v", "it", "mcl"] = "mcl"
    """FLIP-V, FLIP-IT or FLIP-MCL. Paper: mcl."""
    w_simclr: float = quantity(1.0, ge=0, le=100)
    """Weight of the contrastive loss of two views. FLIP-MCL only. Paper: 1."""
    w_mse: float = quantity(1.0, ge=0, le=100)
    """Weight of the loss that compares views with parts of the sentences. FLIP-MCL only. Paper: 1."""
    temperature: float = quantity(0.1, gt=0, le=10)
    """Temperature of the contrastive loss. Paper: 0.1."""
    prompts: Literal["one", "six"] = "six"
    """All six sentences of a class, or "a photo of a real face" and "a photo of a spoof face". Paper: six."""
    normalisation: Literal["imagenet", "clip"] = "imagenet"
    """Mean and spread by which images are normalised. Paper: imagenet."""
    text_tower: Literal["train", "freeze"] = "train"
    """Whether the text tower is trained. Paper: train."""
    image_tower: Literal["all", "last_4", "ln_only"] = "all"
    """What of the image tower is trained: all, its last four blocks and what follows, or normalisation. Paper: all."""
    dropout: float = quantity(0.5, ge=0, lt=1, unit="probability")
    """Share of embedding features dropped in training. FLIP-V only. Paper: 0.5."""
    learning_rate: float = quantity(1e-6, gt=0, le=1)
    """Learning rate of Adam, constant. Paper: 1e-6."""
    weight_decay: float = quantity(1e-6, ge=0, le=1)
    """L2 penalty, all parameters. Paper: 1e-6."""
    images_per_group: int = quantity(3, ge=1, unit="images")
    """Images of each (domain, label) group a step. Paper: 3."""
    flip: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a mirrored image. Paper: 0.5."""
    crop: Literal["pixels", "resize"] = "resize"
    """Windows of stored pixels; or the whole crop resized, and a part of it for strong views. Paper: resize."""
    saturation: float = quantity(0.2, ge=0, le=1)
    """The plain view's saturation is multiplied by 1 - this to 1 + this, half of the time. Paper: 0.2."""
    scale_min: float = quantity(0.08, gt=0, le=1, unit="area")
    """Smallest part of the crop in a strong view, with ``crop: resize``. Paper: 0.08."""
    jitter: float = quantity(0.8, ge=0, le=1, unit="probability")
    """Probability of other colours in a strong view. Paper: 0.8."""
    grey: float = quantity(0.2, ge=0, le=1, unit="probability")
    """Probability of a grey strong view. Paper: 0.2."""
    blur: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a blurred strong view. Paper: 0.5."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the default sweep ranges, loss weights first.

        The learning rate is not among them: where to look for it depends on the initial weights, 3e-7 to 3e-5 with
        CLIP's.
        """
        return {
            "w_simclr": Choice(choice=(0.0, 0.1, 0.5, 1.0, 2.0)),
            "w_mse": Choice(choice=(0.0, 0.5, 1.0, 2.0)),
            "temperature": Choice(choice=(0.05, 0.1, 0.2)),
            "prompts": Choice(choice=("one", "six")),
            "normalisation": Choice(choice=("imagenet", "clip")),
            "text_tower": Choice(choice=("train", "freeze")),
            "image_tower": Choice(choice=("all", "last_4", "ln_only")),
            "weight_decay": LogUniform(loguniform=(1e-6, 1e-4)),
        }

    def least_scratch_rate(self) -> float:
        """Return a hundredth of what random weights learn with, 1e-3: CLIP's own rate is 1e-6."""
        return 1e-5


def draw_sentences(rng: np.random.Generator, count: int, sentences: int, device: torch.device) -> Tensor:
    """Return [count, 2, K] weights of sentences: of three drawn with replacement, and of those not drawn.

    Each row has the sum 1. With a single sentence both rows are that one.

    Args:
        rng: the stream of this step, the same on every rank; advanced by one number.
        count: images of all workers.
        sentences: K.
        device: where the draws are made: nothing has to be copied there.
    """
    generator = torch.Generator(device)
    generator.manual_seed(int(rng.integers(2**63 - 1)))
    drawn = torch.randint(sentences, (count, DRAWN, 1), generator=generator, device=device)
    times_NK = (drawn == torch.arange(sentences, device=device)).sum(1)
    rest_NK = times_NK == 0 if sentences > 1 else times_NK
    weight_N2K = torch.stack([times_NK, rest_NK], 1).double()
    return weight_N2K / weight_N2K.sum(2, keepdim=True)


def prompt_consistency(
    first_BF: Tensor, second_BF: Tensor, text_CKF: Tensor, label_B: Tensor, weight_B2K: Tensor
) -> Tensor:
    """Return the mean squared difference between the first view's cosine with P and the second's with Q.

    P and Q are means of features that are not normalised.

    Args:
        first_BF: image features of the first view.
        second_BF: of the second.
        text_CKF: features of the sentences.
        label_B: class of each image, whose sentences are meant.
        weight_B2K: what each sentence counts in P and in Q.
    """
    text_CKF = full(text_CKF)
    own_BC = (label_B[:, None] == torch.arange(2, device=label_B.device)).to(text_CKF.dtype)
    weight_B2CK = weight_B2K.to(text_CKF.dtype)[:, :, None] * own_BC[:, None, :, None]
    with no_autocast(text_CKF):
        part_B2F = weight_B2CK.flatten(2) @ text_CKF.flatten(0, 1)
    image_B2F = torch.stack([full(first_BF), full(second_BF)], 1)
    cosine_B2 = (functional.normalize(image_B2F, dim=2) * functional.normalize(part_B2F, dim=2)).sum(2)
    return (cosine_B2[:, 0] - cosine_B2[:, 1]).square().mean()


class Projection(nn.Sequential):
    """From F features to those that SimCLR compares: two hidden layers with batch normalisation.

    Args:
        features: F.
        width: multiplier of all other layers; 1 gives 19,947,776 parameters at 512 features.
    """

    def __init__(self, features: int, width: float) -> None:
        hidden = scaled(HIDDEN, width)
        super().__init__(
            nn.Linear(features, hidden), BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), BatchNorm1d(hidden), nn.ReLU(),
            nn.Linear(hidden, scaled(PROJECTED, width)),
        )  # fmt: skip


class FLIP(Method):
    """CLIP, fine-tuned: by a classifier, by sentences, or by sentences and views."""

    name: ClassVar[str] = "flip"
    title: ClassVar[str] = "FLIP"
    paper: ClassVar[str] = "Srivatsan et al., ICCV 2023 (arXiv 2309.16649)"
    Config: ClassVar[type[MethodConfig]] = FLIPConfig
    full_precision: ClassVar[str] = "norms, cosines, logits, losses"
    config: FLIPConfig

    @property
    def needs(self) -> Needs:
        """A plain view and, for FLIP-MCL, two strongly augmented ones; any number of domains."""
        return Needs(views=3 if self.config.variant == "mcl" else 1)

    @property
    def sampling(self) -> Sampling:
        """As many videos of every domain and class, one frame each."""
        return Sampling("balanced", images=self.config.images_per_group, unit="video")

    @property
    def augment(self) -> Augment | tuple[Augment, ...]:
        """The plain view may have another saturation; the others are SimCLR's."""
        c = self.config
        plain = Augment(
            flip=c.flip, crop=c.crop, saturation=(1 - c.saturation, 1 + c.saturation), saturation_probability=0.5
        )
        if c.variant != "mcl":
            return plain
        strong = Augment(
            flip=c.flip,
            crop="scale" if c.crop == "resize" else c.crop,
            scale=(c.scale_min, 1.0),
            ratio=(3 / 4, 4 / 3),
            jitter=(0.4, 0.4, 0.4, 0.1),
            jitter_probability=c.jitter,
            grey=c.grey,
            blur=(0.1 / 224, 2 / 224),
            blur_probability=c.blur,
        )
        return plain, strong, strong

    @property
    def architecture(self) -> str:
        """CLIP's image tower, with its text tower."""
        return "clip_vit_b_16"

    def build(self, build: Build) -> None:
        """Create CLIP or its image tower, what the variant puts on it, and Adam of all that is trained."""
        c = self.config
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if c.normalisation == "imagenet" else (CLIP_MEAN, CLIP_STD)
        parts = self._classifier(build) if c.variant == "v" else self._image_text(build)
        self.networks = nn.ModuleDict({"normalize": Normalize(mean, std), **parts})
        self.networks.to(build.device)
        self._groups = 2 * build.num_domains
        trained = [parameter for parameter in self.networks.parameters() if parameter.requires_grad]
        self.optimizers = {"all": torch.optim.Adam(trained, c.learning_rate, weight_decay=c.weight_decay)}

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do one gradient step on all losses of the variant."""
        optimizer = self.optimizers["all"]
        self.networks.train()
        losses = self._classifier_loss(draws[0], ctx) if self.config.variant == "v" else self._losses(draws[0], ctx)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses["loss"])
        ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the live class's softmax probability, [B] in [0, 1]."""
        self.networks.eval()
        if self.config.variant == "v":
            weight_CF = functional.normalize(self._head.weight, dim=0)
            return self._classified(images, weight_CF).softmax(1)[:, 1]
        class_CF = self._prompts.constant(self._clip).mean(1)
        return image_text_logits(self._features(images), class_CF, self._clip.logit_scale).softmax(1)[:, 1]

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        losses = {"v": ("CE",), "it": ("CE of cosines",), "mcl": ("CE of cosines", "SimCLR", "MSE of cosines")}
        towers = "image tower" if self.config.variant == "v" else "image and text tower"
        return {
            "backbone": f"CLIP ViT-B/16, {towers}",
            "losses": losses[self.config.variant],
            "score": "softmax of two classes",
        }

    def _classifier(self, build: Build) -> dict[str, nn.Module]:
        image = ImageTower(build.width, build.image_size)
        load_backbone(image, build.backbone_weights, build.weights_folder, architecture=self.architecture)
        image.train_only(self.config.image_tower)
        embedding = Embedding(image.num_features, scaled(EMBEDDED, build.width))
        head = nn.Linear(embedding.out_features, 2)
        nn.init.normal_(head.weight, 0, 0.01)
        nn.init.zeros_(head.bias)
        return {"image": image, "embedding": embedding, "head": head}

    def _image_text(self, build: Build) -> dict[str, nn.Module]:
        c = self.config
        clip, prompts = with_prompts(build.width, build.image_size, c.prompts)
        load_backbone(clip, build.backbone_weights, build.weights_folder, architecture=self.architecture)
        clip.visual.train_only(c.image_tower)
        for parameter in clip.text_parameters():
            parameter.requires_grad_(c.text_tower == "train")
        parts: dict[str, nn.Module] = {"clip": clip, "prompts": prompts}
        return parts if c.variant == "it" else {**parts, "projection": Projection(clip.num_features, build.width)}

    def _classifier_loss(self, draw: Draw, ctx: StepContext) -> dict[str, Tensor]:
        weight = self._head.weight  # replaced, as in the code: no gradient passes through the norms
        weight.detach().copy_(functional.normalize(weight.detach(), dim=0))
        logits_B2 = self._classified(draw.views[0], weight, ctx)
        (loss,) = ctx.average([functional.cross_entropy(logits_B2, draw.label)])
        return {"loss": loss}

    def _losses(self, draw: Draw, ctx: StepContext) -> dict[str, Tensor]:
        c, clip = self.config, self._clip
        text_CKF = self._prompts(clip) if c.text_tower == "train" else self._prompts.constant(clip)
        logits_BC = image_text_logits(self._features(draw.views[0]), text_CKF.mean(1), clip.logit_scale)
        classification = functional.cross_entropy(logits_BC, draw.label)
        if c.variant == "it":
            (classification,) = ctx.average([classification])
            return {"loss": classification}
        first_BF, second_BF = (self._features(view) for view in draw.views[1:])
        count, sentences = len(draw.label), text_CKF.shape[1]
        drawn = draw_sentences(ctx.rng("sentences"), count * ctx.world_size, sentences, draw.label.device)
        weight_B2K = share_of(drawn, groups=self._groups, rank=ctx.rank, world_size=ctx.world_size)
        mse = prompt_consistency(first_BF, second_BF, text_CKF, draw.label, weight_B2K)
        classification, mse = ctx.average([classification, mse])
        project = self.networks["projection"]
        image_M = torch.arange(count * ctx.world_size, device=draw.label.device).repeat(2)
        seen_MF = torch.cat([ctx.gather(project(first_BF)), ctx.gather(project(second_BF))])
        simclr = contrastive_loss(seen_MF, image_M, c.temperature)
        loss = classification + c.w_simclr * simclr + c.w_mse * mse
        return {"loss": loss, "classification": classification, "simclr": simclr, "mse": mse}

    @property
    def _clip(self) -> CLIP:
        clip = self.networks["clip"]
        assert isinstance(clip, CLIP)  # noqa: S101
        return clip

    @property
    def _prompts(self) -> ClassPrompts:
        prompts = self.networks["prompts"]
        assert isinstance(prompts, ClassPrompts)  # noqa: S101
        return prompts

    @property
    def _head(self) -> nn.Linear:
        head = self.networks["head"]
        assert isinstance(head, nn.Linear)  # noqa: S101
        return head

    def _features(self, x_BCHW: Tensor) -> Tensor:
        features: Tensor = self.networks["clip"](self.networks["normalize"](x_BCHW))
        return features

    def _classified(self, x_BCHW: Tensor, weight_CF: Tensor, ctx: StepContext | None = None) -> Tensor:
        """Return FLIP-V's [B, C] logits; features are dropped in training, where there is a context."""
        h_BF: Tensor = self.networks["image"](self.networks["normalize"](x_BCHW))
        mask_BF = None
        if ctx is not None:
            places = {"groups": self._groups, "rank": ctx.rank, "world_size": ctx.world_size}
            like_BF = h_BF.new_empty(len(h_BF), self._head.in_features)
            mask_BF = dropout_mask(ctx.rng("dropout"), like_BF, self.config.dropout, **places)
        feature_BF = normalised_features(full(self.networks["embedding"](h_BF, mask_BF)), "official")
        return full(functional.linear(feature_BF, weight_CF, self._head.bias))
