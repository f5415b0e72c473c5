from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

from stream_anon.visual_mixer.optim import STAdam  # noqa: E402


def descend(optimiser, loss, steps: int) -> float:
    for _ in range(steps):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
    return float(value.detach())


def test_it_converges_on_a_quadratic():
    scale = torch.tensor([1.0, 10.0, 100.0])
    x = torch.tensor([3.0, -2.0, 1.0], requires_grad=True)
    assert descend(STAdam([x], lr=0.05), lambda: (scale * x * x).sum(), 800) < 1e-6


def test_it_converges_on_logistic_regression():
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(200, 5, generator=generator)
    labels = (data @ torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0]) > 0).float()
    weights = torch.zeros(5, requires_grad=True)

    def loss():
        return torch.nn.functional.binary_cross_entropy_with_logits(data @ weights, labels)

    assert descend(STAdam([weights], lr=0.1), loss, 300) < 0.08


def path(optimiser_class, gradients, **options):
    x = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = optimiser_class([x], lr=0.1, **options)
    points = []
    for gradient in gradients:
        x.grad = torch.full((4,), float(gradient), dtype=torch.float64)
        optimiser.step()
        points.append(x.detach().clone())
    return torch.stack(points)


def test_it_is_adam_while_gradients_agree():
    gradients = [1.0, 0.5, 2.0, 0.1, 1.5, 3.0]
    ours, adam = path(STAdam, gradients), path(torch.optim.Adam, gradients)
    assert torch.allclose(ours, adam, rtol=1e-9, atol=1e-12)


def test_it_is_adam_without_steadiness():
    gradients = [1.0, -0.5, 2.0, -3.0, 1.5, 0.0, -1.0]
    ours = path(STAdam, gradients, steadiness=0.0)
    assert torch.allclose(ours, path(torch.optim.Adam, gradients), rtol=1e-9, atol=1e-12)


def test_it_damps_a_gradient_that_swings():
    """A small steady pull under a large alternation: the path wobbles less than Adam's."""
    gradients = [0.2 + (3.0 if step % 2 else -3.0) for step in range(200)]
    wobble = {}
    for kind in (STAdam, torch.optim.Adam):
        steps = path(kind, gradients)[100:].diff(dim=0)
        wobble[kind] = float(steps.diff(dim=0).abs().mean())
    assert wobble[STAdam] < 0.75 * wobble[torch.optim.Adam]


def test_the_mean_stays_a_weighted_mean():
    """Whatever the betas were, a constant gradient gives a first moment of exactly that size."""
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = STAdam([x], lr=0.1)
    for gradient in (1.0, -1.0, 1.0, -1.0):
        x.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
    state = optimiser.state[x]
    assert float((state["first"] / (1 - state["past"])).abs()) <= 1.0


def test_its_state_is_saved_and_loaded():
    x = torch.zeros(3, requires_grad=True)
    optimiser = STAdam([x], lr=0.1)
    x.grad = torch.ones(3)
    optimiser.step()
    again = STAdam([x], lr=0.1)
    again.load_state_dict(optimiser.state_dict())
    assert torch.equal(again.state[x]["first"], optimiser.state[x]["first"])


@pytest.mark.parametrize(
    "options",
    [{"lr": 0}, {"betas": (1.0, 0.9)}, {"eps": 0}, {"steadiness": 2}, {"weight_decay": -1}],
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(ValueError):
        STAdam([torch.zeros(1, requires_grad=True)], **options)
