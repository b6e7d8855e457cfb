"""CLIP against transformers and open_clip with the same random weights; prompts against open_clip's tokenizer."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from fasray.errors import SpecError
from fasray.nets.clip import CLIP, GRID, PATCH, VOCABULARY, ImageTower
from fasray.nets.prompts import END, PROMPTS, ClassPrompts, token_ids

assert_close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-5)


def count(parameters):
    return sum(parameter.numel() for parameter in parameters)


def clip_of(width, seed=0, **options):
    torch.manual_seed(seed)
    clip = CLIP(width, **options).eval()
    for name, parameter in clip.named_parameters():  # nothing may be right because it is 0 or 1
        if name.endswith("bias") or "ln_" in name:
            nn.init.normal_(parameter, 0.2, 0.2)
    return clip


def images_of(side, count=2):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def hugging_face(clip):
    """Return transformers' model with the weights of ours: q, k and v apart, projections transposed, other names."""
    from transformers import CLIPConfig, CLIPModel

    shapes = {"text_config": clip, "vision_config": clip.visual}
    sizes: dict[str, Any] = {
        key: {
            "hidden_size": tower.num_features,
            "intermediate_size": 4 * tower.num_features,
            "num_hidden_layers": len(tower.transformer.resblocks),
            "num_attention_heads": tower.num_features // 64,
        }
        for key, tower in shapes.items()
    }
    sizes["vision_config"] |= {"patch_size": PATCH, "image_size": GRID * PATCH}
    sizes["text_config"] |= {"vocab_size": len(clip.token_embedding.weight), "eos_token_id": END}
    model = CLIPModel(CLIPConfig(projection_dim=clip.num_features, **sizes)).eval()
    state = {}
    names = {
        "attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2", "ln_1": "layer_norm1",
        "ln_2": "layer_norm2", "transformer.resblocks": "encoder.layers", "ln_pre": "pre_layrnorm",
        "ln_post": "post_layernorm", "ln_final": "final_layer_norm", "conv1": "embeddings.patch_embedding",
        "token_embedding": "embeddings.token_embedding", "class_embedding": "embeddings.class_embedding",
        "positional_embedding": "embeddings.position_embedding.weight",
    }  # fmt: skip
    for name, tensor in clip.state_dict().items():
        if name == "logit_scale":
            state[name] = tensor
        elif name in ("text_projection", "visual.proj"):
            state["text_projection.weight" if name[0] == "t" else "visual_projection.weight"] = tensor.T
        else:
            new = ("vision_model." if name.startswith("visual.") else "text_model.") + name.removeprefix("visual.")
            for ours, theirs in names.items():
                new = new.replace(ours, theirs)
            if "attn.in_proj" in new:
                for part, which in zip(tensor.chunk(3), "qkv", strict=True):
                    state[new.replace("attn.in_proj_", f"self_attn.{which}_proj.")] = part
            else:
                state[new] = tensor
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert not [name for name in missing if "position_ids" not in name]
    return model


def assert_as_hugging_face(clip):
    theirs, images, tokens = hugging_face(clip), images_of(GRID * PATCH), token_ids()
    padded = nn.functional.pad(tokens, (0, 77 - tokens.shape[1]))
    with torch.no_grad():
        found = theirs(input_ids=padded, pixel_values=images)
        image, text = clip(images), clip.encode_text(tokens)
        assert_close(clip.encode_text(padded), text)
        assert_close(text, found.text_model_output.pooler_output)
        assert_close(image, found.vision_model_output.pooler_output)
        cosine = nn.functional.cosine_similarity(image[:, None], text[None], dim=2)
        assert_close(clip.logit_scale.exp() * cosine, found.logits_per_image, atol=1e-4)


def test_both_towers_are_those_of_transformers():
    assert_as_hugging_face(clip_of(0.125))


@pytest.mark.slow
def test_both_towers_of_full_size_are_those_of_transformers():
    assert_as_hugging_face(clip_of(1))


def assert_as_open_clip(clip):
    from open_clip import model

    image, text = (
        {"width": tower.num_features, "layers": len(tower.transformer.resblocks)} for tower in (clip.visual, clip)
    )
    theirs = model.CLIP(
        clip.num_features,
        {**image, "head_width": 64, "patch_size": PATCH, "image_size": GRID * PATCH},
        {**text, "heads": text["width"] // 64, "vocab_size": VOCABULARY, "context_length": 77},
        quick_gelu=True,
    ).eval()
    theirs.load_state_dict(clip.state_dict())
    images, tokens = images_of(GRID * PATCH), token_ids()
    with torch.no_grad():
        assert_close(clip(images), theirs.encode_image(images))
        padded = nn.functional.pad(tokens, (0, 77 - tokens.shape[1]))
        assert_close(clip.encode_text(tokens), theirs.encode_text(padded))


def test_both_towers_are_those_of_open_clip_whose_state_loads_as_it_is():
    assert_as_open_clip(clip_of(0.125))


@pytest.mark.slow
def test_both_towers_of_full_size_are_those_of_open_clip():
    assert_as_open_clip(clip_of(1))


def test_the_prompts_are_the_sentences_in_clips_vocabulary():
    from open_clip import get_tokenizer

    wanted = get_tokenizer("ViT-B-16")([sentence for sentences in PROMPTS for sentence in sentences])
    ours = token_ids()
    assert torch.equal(wanted[:, : ours.shape[1]], ours)
    assert not wanted[:, ours.shape[1] :].any()
    assert torch.equal(token_ids("one"), wanted[[4, 10], :9])


def test_full_size_has_the_parameters_of_vit_b_16():
    with torch.device("meta"):
        clip = CLIP()
    assert count(clip.parameters()) == 149_620_737
    assert count(clip.visual.parameters()) == 86_192_640
    assert count(clip.text_parameters()) == 63_428_096


def test_the_embedding_of_other_image_sizes_is_interpolated_as_by_open_clip():
    from open_clip.model import resize_pos_embed

    class Vision(nn.Module):
        def __init__(self, side):
            super().__init__()
            self.visual = nn.Module()
            vars(self.visual)["grid_size"] = side, side

    for size in (64, 224, 256):
        torch.manual_seed(0)
        tower = ImageTower(0.125, size)
        state = {"visual.positional_embedding": tower.positional_embedding.detach().clone()}
        resize_pos_embed(state, Vision(size // PATCH))
        assert_close(tower.positions(), state["visual.positional_embedding"])


def test_the_image_tower_serves_alone_and_sees_whole_patches_only():
    tower = clip_of(0.125, image_size=88).visual
    images = images_of(88)
    other = images.clone()
    other[:, :, 80:], other[:, :, :, 80:] = 9, 9
    assert torch.equal(tower(images), tower(other))
    assert tower(images).shape == (2, 64)
    assert "proj" not in ImageTower(0.125).state_dict()
    with pytest.raises(SpecError, match="smaller than CLIP's patches"):
        ImageTower(0.125, 8)


def test_a_compact_vocabulary_gives_the_features_of_the_full_one():
    full, compact = ClassPrompts(64), ClassPrompts(64, compact=True)
    whole = clip_of(0.125)
    small = clip_of(0.125, vocabulary=compact.vocabulary)
    state = whole.state_dict()
    state["token_embedding.weight"] = state["token_embedding.weight"][full.tokens.unique()]
    small.load_state_dict(state)
    assert_close(compact(small), full(whole))
    assert_close(full(whole).flatten(0, 1), whole.encode_text(token_ids()))


def test_the_constant_features_follow_the_weights():
    """Computed anew after a step of an optimizer and after other weights are loaded, and only then."""
    prompts = ClassPrompts(64, compact=True)
    clip, other = (clip_of(0.125, seed, image_size=32, vocabulary=prompts.vocabulary) for seed in (0, 1))
    calls = []
    clip.token_embedding.register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        first = prompts.constant(clip).clone()
        prompts.constant(clip)
    assert len(calls) == 1
    optimizer = torch.optim.Adam(clip.parameters(), 0.1)
    prompts(clip).sum().backward()
    optimizer.step()
    assert not torch.equal(prompts.constant(clip), first)
    clip.load_state_dict(other.state_dict())
    assert_close(prompts.constant(clip), prompts(other))
    assert not prompts.state_dict()
