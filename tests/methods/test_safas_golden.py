"""SA-FAS against the numbers of its official code; see golden/README.md."""

import numpy as np
import pytest
import torch
from golden_state import filled
from locations import GOLDEN

from fasray.losses.contrastive import supcon_loss
from fasray.methods.base import Build
from fasray.methods.safas import (
    SAFAS,
    SAFASConfig,
    align_heads,
    domain_risks,
    head_cosines,
    mean_cosine,
    mean_risk,
)


def golden(name):
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("case", ["a", "b", "c", "d"])
@pytest.mark.parametrize(("kind", "tolerance"), [("f64", 1e-9), ("f32", 1e-5)])
def test_the_contrastive_loss_and_its_gradient_are_the_official_ones(case, kind, tolerance):
    numbers = golden("safas_supcon")
    dtype = torch.float64 if kind == "f64" else torch.float32
    feature = torch.tensor(numbers[f"{case}_raw"], dtype=dtype, requires_grad=True)
    group = torch.tensor(numbers[f"{case}_domain"] * 2 + numbers[f"{case}_label"]).repeat(2)
    loss = supcon_loss(feature, group, float(numbers[f"{case}_temperature"]))
    loss.backward()
    expected = numbers[f"{case}_grad_{kind}"]
    np.testing.assert_allclose(loss.item(), numbers[f"{case}_loss_{kind}"], rtol=tolerance)
    np.testing.assert_allclose(feature.grad, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_an_anchor_without_positive_makes_the_contrastive_loss_nan_as_officially():
    numbers = golden("safas_supcon")
    assert np.isnan(numbers["nan_case_loss"])
    feature, group = torch.tensor(numbers["nan_case_feat"]), torch.tensor(numbers["nan_case_labels"])
    assert supcon_loss(feature, group, 0.1).isnan()


@pytest.mark.parametrize("case", ["a", "b", "c", "d"])
def test_one_projection_turns_each_head_as_officially(case):
    numbers = golden("safas_pgirm")
    before = torch.tensor(numbers[f"{case}_before"])
    farthest = head_cosines(before).fill_diagonal_(torch.inf).argmin(1)
    assert farthest.tolist() == numbers[f"{case}_pulled_to"].tolist()
    assert mean_cosine(before).item() == pytest.approx(float(numbers[f"{case}_mean_cos"]), rel=1e-5, abs=1e-7)
    after = align_heads(before, float(numbers[f"{case}_alpha"]))
    np.testing.assert_allclose(after, numbers[f"{case}_after"], rtol=1e-5, atol=1e-7)


def test_two_hundred_projections_follow_the_official_trace():
    numbers = golden("safas_pgirm")
    weight, trace = torch.tensor(numbers["a_before"]), []
    for _ in range(200):
        trace.append(mean_cosine(weight).item())
        weight = align_heads(weight, 0.995)
    np.testing.assert_allclose(trace, numbers["iter200_alpha0995_mean_cos"], rtol=1e-5, atol=1e-6)
    expected = numbers["iter200_after"]
    np.testing.assert_allclose(weight, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_the_risk_per_domain_and_its_gradients_are_the_official_ones():
    numbers = golden("safas_bce_per_domain")
    feature = torch.tensor(numbers["feat"], requires_grad=True)
    weight = torch.tensor(numbers["fc_w"], requires_grad=True)
    logit = feature @ weight.T + torch.tensor(numbers["fc_b"])
    loss = mean_risk(*domain_risks(logit, torch.tensor(numbers["label"]), torch.tensor(numbers["domain"])))
    loss.backward()
    np.testing.assert_allclose(loss.item(), numbers["loss"], rtol=1e-5)
    for found, name in ((feature.grad, "grad_feat"), (weight.grad, "grad_w")):
        np.testing.assert_allclose(found, numbers[name], rtol=1e-5, atol=1e-5 * np.abs(numbers[name]).max())


def test_a_domain_absent_from_the_batch_adds_nothing_but_is_counted():
    numbers = golden("safas_bce_per_domain")
    assert set(numbers["domain"][:7].tolist()) == {0, 1}
    logit = torch.tensor(numbers["feat"][:7] @ numbers["fc_w"].T + numbers["fc_b"])
    label, domain = torch.tensor(numbers["label"][:7]), torch.tensor(numbers["domain"][:7])
    loss = mean_risk(*domain_risks(logit, label, domain))
    np.testing.assert_allclose(loss.item(), numbers["loss_two_domains_div3"], rtol=1e-5)


@pytest.fixture(scope="module")
def golden_method():
    numbers = golden("safas_resnet18")
    method = SAFAS(SAFASConfig())
    method.build(Build(num_domains=3, image_size=256, total_steps=100))
    state = filled(numbers)
    heads = {kind: torch.cat([state[f"fc{e}.{kind}"] for e in range(3)]) for kind in ("weight", "bias")}
    unused = ("fc0.", "fc1.", "fc2.", "fc_scale.", "bn_scale.", "proj.")
    backbone = {name: value for name, value in state.items() if not name.startswith(unused)}
    found = method.networks["backbone"].load_state_dict(backbone, strict=False)
    assert not found.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in found.missing_keys)
    method.networks["heads"].load_state_dict(heads)
    return method, numbers


def test_the_network_has_the_official_number_of_parameters(golden_method):
    method, numbers = golden_method
    count = sum(parameter.numel() for parameter in method.networks["backbone"].parameters())
    assert count == numbers["n_params_backbone"] == 11_176_512
    unused = 512 * 512 + 512 + 512 + 1 + 2  # projection head, learnt scale and its BatchNorm: not built here
    assert sum(parameter.numel() for parameter in method.networks.parameters()) == numbers["n_params"] - unused


def test_features_and_scores_are_the_official_ones(golden_method):
    method, numbers = golden_method
    x = torch.tensor(numbers["x"])  # already normalised
    method.networks.eval()
    with torch.no_grad():
        feature = method.networks["backbone"](x)
        head_scores = method.networks["heads"](feature).sigmoid()
    np.testing.assert_allclose(feature, numbers["eval_feat"], rtol=1e-5, atol=1e-5 * np.abs(numbers["eval_feat"]).max())
    expected = numbers["eval_sep"][:, :, 0]
    np.testing.assert_allclose(head_scores.T, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    normalize = method.networks["normalize"]
    score = method.score(x * normalize.std + normalize.mean)
    np.testing.assert_allclose(score, numbers["eval_score_mean_of_sigmoids"][:, 0], rtol=1e-5)


def test_features_in_training_mode_are_the_official_ones(golden_method):
    method, numbers = golden_method
    method.networks.train()
    with torch.no_grad():
        feature = method.networks["backbone"](torch.tensor(numbers["x"]))
    expected = numbers["train_feat"]
    np.testing.assert_allclose(feature, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
