"""Critics, landmark net and losses, each on its own."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
pytest.importorskip("onnx", reason="needs the [train] extra")
pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*NumPy.*writable.*:UserWarning"),
]

from stream_anon.methods.generative import bottleneck  # noqa: E402
from stream_anon.training import landmarks  # noqa: E402
from stream_anon.training.arch.conceal import Conceal  # noqa: E402
from stream_anon.training.data import augment  # noqa: E402
from stream_anon.training.data.batches import Faces  # noqa: E402
from stream_anon.training.generators import losses  # noqa: E402
from stream_anon.training.generators.adversarial import AdversarialTrainer  # noqa: E402
from stream_anon.training.generators.trainer import Glance  # noqa: E402
from stream_anon.training.runtime import step_generator  # noqa: E402
from tests.training.faces import make_pack  # noqa: E402
from tests.training.test_training import CPU  # noqa: E402


@pytest.fixture(scope="module")
def faces():
    return Faces(make_pack(), CPU)


def features(level, count=8):
    """Features of three scales whose channels tell real from drawn by their sign."""
    rng = torch.Generator().manual_seed(int(level * 10) + 50)
    sides = (16, 8, 4)
    return [level + 0.3 * torch.randn(count, 4, side, side, generator=rng) for side in sides]


def test_the_second_critic_learns_to_tell_and_tells_the_generator():
    adversary = AdversarialTrainer(torch.nn.Linear(2, 2), CPU, rate=2e-3, channels=(4, 4, 4))
    adversary.set_rate(1.0)
    losses_ = [adversary.feature_step(features(0.5), features(-0.5)) for _ in range(60)]
    assert losses_[-1] < 0.5 * losses_[0]
    drawn = [f.requires_grad_(True) for f in features(-0.5)]
    loss = adversary.realism(drawn)
    loss.backward()
    assert loss > adversary.realism(features(0.5))
    # Toward the real ones the loss falls.
    assert all(f.grad.mean() < 0 for f in drawn)
    assert all(p.grad is None or not p.requires_grad for p in adversary.feature_critic.parameters())


def test_a_steep_critic_is_fined():
    seen = [f.requires_grad_(True) for f in features(0.5)]

    def fine(slope):
        return losses.r1_penalty(
            slope * sum(f.mean((1, 2, 3)) ** 2 for f in seen)[:, None], seen
        ).item()

    flat, r1_penalty = fine(0.1), fine(10.0)
    assert r1_penalty == pytest.approx(1e4 * flat, rel=1e-3)
    # By hand: the gradient of the square of a mean m over n numbers is 2 m / n at each of them.
    by_hand = sum(4 * f.mean((1, 2, 3)).detach() ** 2 / f[0].numel() for f in seen).mean().item()
    assert flat == pytest.approx(0.01 * by_hand, rel=1e-3)


def test_the_second_critic_is_held_by_its_penalty(monkeypatch):
    def slope(gamma):
        monkeypatch.setattr("stream_anon.training.generators.adversarial.R1_WEIGHT", gamma)
        torch.manual_seed(0)
        adversary = AdversarialTrainer(torch.nn.Linear(2, 2), CPU, rate=2e-3, channels=(4, 4, 4))
        adversary.set_rate(1.0)
        for _ in range(64):
            adversary.feature_step(features(0.5), features(-0.5))
        even = [f.requires_grad_(True) for f in adversary.feature_critic.even(features(0.5))]
        return losses.r1_penalty(adversary.feature_critic.judge(even), even).item()

    assert slope(100.0) < 0.5 * slope(0.0)


@pytest.mark.parametrize("known", [(), ("feature_critic",)])
def test_a_checkpoint_from_before_the_second_critic_is_taken(known):
    adversary = AdversarialTrainer(torch.nn.Linear(2, 2), CPU, rate=1e-3, channels=(4, 4, 4))
    old = {k: v for k, v in adversary.state().items() if not k.startswith("feature")}
    # One whose second critic was another net.
    old |= {key: {"heads.0.weight": torch.zeros(1)} for key in known}
    adversary.restore(old)
    again = AdversarialTrainer(torch.nn.Linear(2, 2), CPU, rate=1e-3, channels=(4, 4, 4))
    adversary.feature_step(features(0.5), features(-0.5))
    again.restore(adversary.state())
    # When the next penalty is due is part of the state.
    assert again.state()["looks"] == 1
    one, two = adversary.feature_critic.state_dict(), again.feature_critic.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_landmark_net_learns_where_a_face_is_and_its_doubt(faces, tmp_path):
    net = landmarks.landmarks(faces, tmp_path, images=1600, batch=32, rate=3e-3)
    lumas = landmarks.Lumas.of(faces)
    shown, points = lumas.batch(64, step_generator(1, 9, 0, CPU))
    assert shown.shape == (64, 1, 64, 64)
    found = net(shown)
    wanted = landmarks.landmark_target(points)
    mean = (wanted - wanted.mean(0)).abs().mean()
    assert (found[:, :10] - wanted).abs().mean() < 0.7 * mean
    resumed = landmarks.landmarks(faces, tmp_path, images=1600, batch=32)
    assert torch.equal(resumed(shown), found)


def test_the_doubt_is_the_error_where_the_likelihood_is_best():
    wanted = torch.zeros(1, 10)
    error = 0.25
    found = torch.full((1, 11), error)
    scales = torch.linspace(-4, 1, 200)
    values = []
    for scale in scales:
        found[:, 10] = scale
        values.append(landmarks.likelihood(found, wanted).item())
    assert scales[int(np.argmin(values))].exp().item() == pytest.approx(error, rel=0.05)


def test_what_is_hidden_is_hidden_in_one_grey():
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(16, 1, 64, 64, generator=rng)
    seen = landmarks.hide(images, rng, share=1.0)
    for before, after in zip(images, seen, strict=True):
        changed = after[before != after]
        assert 0.005 < len(changed) / before.numel() < 0.2
        assert changed.unique().numel() == 1
    assert torch.equal(landmarks.hide(images, rng, share=0.0), images)


def test_kinship_is_what_nobody_asked_for():
    rng = torch.Generator().manual_seed(3)
    unit = torch.nn.functional.normalize
    draw = lambda: unit(torch.randn(24, 64, generator=rng), dim=1)  # noqa: E731
    asked1, asked2, image = draw(), draw(), draw()
    obeyed = losses.kinship(asked1 + 0.3 * draw(), asked2 + 0.3 * draw(), asked1, asked2)
    stained = losses.kinship(asked1 + 0.6 * image, asked2 + 0.6 * image, asked1, asked2)
    # What all drawings share, whatever the image, links nobody.
    common = draw()[:1]
    shared = losses.kinship(
        asked1 + 0.9 * common + 0.3 * draw(), asked2 + 0.9 * common + 0.3 * draw(), asked1, asked2
    )
    assert obeyed < 0.15
    assert shared < 0.2
    assert stained > 0.8


def test_kinship_teaches_a_net_to_forget_its_image():
    rng = torch.Generator().manual_seed(4)
    unit = torch.nn.functional.normalize
    net = torch.nn.Linear(32, 16)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)

    def link(learn):
        image = torch.randn(32, 16, generator=rng)
        asked = [unit(torch.randn(32, 16, generator=rng), dim=1) for _ in range(2)]
        first, second = (net(torch.cat([image, code], 1)) for code in asked)
        loss = losses.kinship(first, second, *asked) + 0.5 * losses.toward(first, asked[0])
        if learn:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return losses.kinship(first, second, *asked).item()

    before = link(False)
    for _ in range(150):
        link(True)
    assert link(False) < 0.6 * before


def test_walls_are_coloured_outside_only():
    rng = torch.Generator().manual_seed(5)
    images = torch.rand(64, 3, 128, 128, generator=rng) * 2 - 1
    outside = 1 - Conceal(keep_colour=True).paint
    seen = augment.surroundings(images, outside, rng, share=0.5)
    assert seen.abs().max() <= 1
    change = (seen - images).abs() * torch.ones_like(images)
    assert change[(outside == 0).expand_as(change)].max() == 0
    touched = change.amax((1, 2, 3)) > 0
    assert 16 < int(touched.sum()) < 48
    # Multiplied: black stays black, nothing becomes brighter, one channel is kept as it was.
    assert (seen - images).max() <= 1e-6
    assert (change.amax((2, 3)).min(1).values < 1e-6).all()


def test_judges_now_and_then_see_faces_from_afar(monkeypatch):
    rng = torch.Generator().manual_seed(6)
    noise = torch.randn(2, 3, 128, 128, generator=rng).clamp(-1, 1)
    points = torch.from_numpy(bottleneck.WIDE_TEMPLATE).repeat(2, 1, 1)

    def fine(share, sides):
        monkeypatch.setattr("stream_anon.training.generators.trainer.FAR_SHARE", share)
        monkeypatch.setattr("stream_anon.training.generators.trainer.FAR_SIDES", sides)
        glance = Glance(points, torch.Generator().manual_seed(7))
        seen = glance(noise)[:, :, 40:88, 40:88]
        return (seen[..., 1:] - seen[..., :-1]).abs().mean().item(), glance.landmarks

    near, here = fine(0.0, (40, 41))
    far, there = fine(1.0, (90, 91))
    farther, _ = fine(1.0, (40, 41))
    assert far < 0.8 * near
    assert farther < 0.5 * far
    assert torch.equal(here, there)
