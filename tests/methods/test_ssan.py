"""SSAN against a reading of its specification with torch's functions alone; its settings; shuffled styles."""

import math

import pytest
import torch
from torch.nn import functional
from toy_draws import built, context, run, toy_draw, weights

from fasray.errors import SpecError
from fasray.methods import registry
from fasray.methods.ssan import SSANConfig
from fasray.seeds import stream
from fasray.testing.draws import double

STEP, BUDGET = 3, 20
SIZES = {"r": 96, "m": 64}


class Reading:
    """The specification by hand, on the tensors of a method's state; batch statistics if ``training``."""

    def __init__(self, state, *, training):
        self.training = training
        self.state = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.leaves = {
            k: v.requires_grad_() for k, v in self.state.items() if k.rpartition(".")[2] in ("weight", "bias")
        }

    def conv(self, x, name, stride=1):
        kernel = self.state[f"{name}.weight"]
        return functional.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2)

    def bn(self, x, name):
        mean, var = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        if self.training:
            mean, var = x.mean((0, 2, 3)), ((x - x.mean((0, 2, 3), keepdim=True)) ** 2).mean((0, 2, 3))
        shape = (1, -1, 1, 1)
        x = (x - mean.view(shape)) / (var.view(shape) + 1e-5) ** 0.5
        return x * self.state[f"{name}.weight"].view(shape) + self.state[f"{name}.bias"].view(shape)

    def linear(self, x, name):
        y = x @ self.state[f"{name}.weight"].T
        return y + self.state[f"{name}.bias"] if f"{name}.bias" in self.state else y

    def resnet(self, x):
        x = self.bn(self.conv(x, "encoder.trunk.conv1", 2), "encoder.trunk.bn1").relu()
        x, found = functional.max_pool2d(x, 3, 2, 1), []
        for layer in (1, 2, 3):
            for block in (0, 1):
                name, stride = f"encoder.trunk.layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
                y = self.bn(self.conv(x, f"{name}.conv1", stride), f"{name}.bn1").relu()
                y = self.bn(self.conv(y, f"{name}.conv2"), f"{name}.bn2")
                if stride == 2:
                    x = self.bn(self.conv(x, f"{name}.downsample.0", 2), f"{name}.downsample.1")
                x = (x + y).relu()
            found.append(x)
        return found

    def plain(self, x):
        found = []
        for stage, convolutions in enumerate((4, 3, 3)):
            for number in range(convolutions):
                name = f"encoder.stages.{stage}"
                x = self.bn(self.conv(x, f"{name}.{3 * number}"), f"{name}.{3 * number + 1}").relu()
            x = functional.max_pool2d(x, 3, 2, 1)
            found.append(x)
        return found

    def parts(self, x, variant):
        x = (255 * x - 127.5) / 128
        f1, f2, f3 = self.resnet(x) if variant == "r" else self.plain(x)
        content = self.bn(self.conv(f3, "parts.content.0", 2), "parts.content.1").relu()
        a = functional.instance_norm(self.conv(f1, "parts.style.0", 2)).relu() + f2
        a = functional.instance_norm(self.conv(a, "parts.style.1", 2)).relu() + f3
        a = functional.instance_norm(self.conv(a, "parts.style.2", 2))
        style = self.linear(functional.adaptive_max_pool2d(a, 1).flatten(1), "parts.shared").relu()
        return content, self.linear(style, "parts.gamma"), self.linear(style, "parts.beta")

    def adain(self, x, gamma, beta):
        mean, var = x.flatten(2).mean(2)[..., None, None], torch.var(x.flatten(2), dim=2)[..., None, None]
        return (x - mean) / torch.sqrt(var + 1e-5) * gamma[..., None, None] + beta[..., None, None]

    def assembled(self, x, gamma, beta, code):
        for block in (0, 1):
            y = x
            if code == "as_intended":
                y = self.adain(self.conv(y, f"assembly.convolutions.{2 * block}"), gamma, beta).relu()
                y = self.conv(y, f"assembly.convolutions.{2 * block + 1}")
            x = x + self.adain(y, gamma, beta)
        return self.bn(self.conv(x, "assembly.final.0", 2), "assembly.final.1")

    def depth(self, x):
        for name in ("first", "second"):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = self.bn(self.conv(x, f"head.{name}.0"), f"head.{name}.1").relu()
        return self.conv(x, "head.last").relu()

    def domains(self, content, variant):
        if variant == "r":
            return self.linear(self.linear(content.mean((2, 3)), "discriminator.hidden").relu(), "discriminator.out")
        for number in (0, 3):
            name = f"discriminator.convolutions.{number}"
            content = self.bn(self.conv(content, name, 2), f"discriminator.convolutions.{number + 1}")
            content = functional.leaky_relu(content, 0.2)
        return self.linear(content.mean((2, 3)), "discriminator.out")

    def losses(self, draw, order, variant, code):
        content, gamma, beta = self.parts(draw.views[0], variant)
        own = self.assembled(content, gamma, beta, code)
        shuffled = self.assembled(content, gamma[order], beta[order], code)
        if variant == "r":
            classification = functional.cross_entropy(self.linear(own.mean((2, 3)), "head"), draw.label)
        else:
            classification = ((self.depth(own) - draw.depth) ** 2).mean()
        z, other, terms = own.mean((2, 3)).detach(), shuffled.mean((2, 3)), []
        for i, j in enumerate(order.tolist()):
            cosine = z[i] @ other[i] / (z[i].norm() * other[i].norm())
            terms.append(-cosine if draw.label[i] == draw.label[j] else cosine)
        return (
            classification,
            sum(terms) / len(terms),
            functional.cross_entropy(self.domains(content, variant), draw.domain),
        )


def made(variant, code, **config):
    method = built("ssan", variant=variant, code=code, dropout=0.0, size=SIZES[variant], **config)
    method.networks.double()
    method.networks["normalize"].std.fill_(128 / 255)  # was rounded to float32
    return method, double(toy_draw(method, 3, size=SIZES[variant]))


@pytest.mark.parametrize("variant", ["r", "m"])
@pytest.mark.parametrize("code", ["as_intended", "as_published"])
def test_losses_gradients_and_one_step_are_those_of_the_specification(variant, code):
    method, draw = made(variant, code, contrast_weight=0.7, adversarial_weight=1.5, learning_rate=0.01)
    generator = torch.Generator().manual_seed(int(stream(0, "styles", STEP).integers(2**63 - 1)))
    order = torch.rand(len(draw.label), generator=generator).argsort()
    assert sorted(order.tolist()) == list(range(len(order)))
    before, reading = weights(method), Reading(weights(method), training=True)
    classification, contrast, adversarial = reading.losses(draw, order, variant, code)
    factor = -(2 / (1 + math.exp(-10 * (STEP + 1) / BUDGET)) - 1) if code == "as_intended" else 1
    common = classification + 0.7 * contrast
    gradient: dict[str, torch.Tensor] = {}
    for mine, loss in ((True, common + 1.5 * adversarial), (False, common + factor * 1.5 * adversarial)):
        chosen = {k: v for k, v in reading.leaves.items() if k.startswith("discriminator") == mine}
        gradient |= zip(chosen, torch.autograd.grad(loss, chosen.values(), retain_graph=True), strict=True)

    logs = method.step([draw], context(STEP, BUDGET))

    expected = {"classification": classification, "contrast": contrast, "adversarial": adversarial}
    expected["loss"] = common + 1.5 * adversarial
    for key, value in expected.items():
        torch.testing.assert_close(logs[key], value.detach(), rtol=1e-10, atol=1e-12, msg=key)
    parameters = dict(method.networks.named_parameters())
    assert parameters.keys() == gradient.keys()
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad, gradient[name], rtol=1e-6, atol=1e-11, msg=name)
        decayed = parameter.grad + 5e-5 * before[name]
        torch.testing.assert_close(parameter, before[name] - 0.01 * decayed / (decayed.abs() + 1e-8), msg=name)


@pytest.mark.parametrize("variant", ["r", "m"])
@pytest.mark.parametrize("code", ["as_intended", "as_published"])
def test_a_score_is_that_of_the_specification(variant, code):
    method, draw = made(variant, code)
    run_state = weights(method)
    for name, tensor in method.networks.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(name)))
    assert not torch.equal(run_state["assembly.final.1.running_var"], weights(method)["assembly.final.1.running_var"])
    reading = Reading(weights(method), training=False)
    own = reading.assembled(*reading.parts(draw.views[0], variant), code=code)
    if variant == "r":
        expected = reading.linear(own.mean((2, 3)), "head").softmax(1)[:, 1]
    else:
        expected = reading.depth(own).mean((1, 2, 3))
    torch.testing.assert_close(method.score(draw.views[0]), expected.detach(), rtol=1e-10, atol=1e-12)


def test_code_decides_what_is_not_set():
    found = [(c.reverses, c.assembly_block) for c in (SSANConfig(), SSANConfig(code="as_published"))]
    assert found == [(True, "residual"), (False, "adain")]
    mixed = SSANConfig(code="as_published", reversal="schedule", block="residual")
    assert (mixed.reverses, mixed.assembly_block) == (True, "residual")
    assert [SSANConfig(reversal=choice).min_grace(1000) for choice in ("schedule", "none")] == [110, 1]
    assert SSANConfig(adversarial_weight=0).min_grace(1000) == 1


def test_dead_convolutions_are_not_built():
    count = {
        code: sum(p.numel() for p in built("ssan", code=code, width=1.0).networks.parameters())
        for code in ("as_intended", "as_published")
    }
    assert count == {"as_intended": 8_135_749, "as_published": 8_135_749 - 2_359_296}


def test_one_domain_has_no_domain_loss():
    method = built("ssan", num_domains=1, weight_decay=0)
    before = weights(method)
    logs = run(method, 1, num_domains=1)
    assert logs["adversarial"] == 0
    assert all(torch.equal(before[k], v) for k, v in weights(method).items() if k.startswith("discriminator"))


def test_both_settings_for_the_reversal_are_possible_in_a_sweep_and_others_are_refused():
    assert registry.config("ssan", {"reversal": None}).reversal is None
    with pytest.raises(SpecError, match=r"methods\.ssan\.config\.code"):
        registry.config("ssan", {"code": "official"})


def test_resnet50_trains_too():
    assert run(built("ssan", backbone="resnet50"), 1)["loss"].isfinite()
