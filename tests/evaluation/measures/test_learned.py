from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream_anon.evaluation.attackers import parrot, reconstruction  # noqa: E402
from stream_anon.evaluation.attackers.training_set import Lessons, chosen, shrunk  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lessons(people: int = 14, each: int = 6, width: int = 16) -> Lessons:
    """People whose code survives in half of the anonymised features, the others being noise."""
    rng = np.random.default_rng(0)
    own = np.repeat(np.arange(people), each)
    codes = rng.normal(0, 1, (people, width)).astype(np.float32)
    clear = codes[own] + rng.normal(0, 0.3, (len(own), width)).astype(np.float32)
    new = clear.copy()
    new[:, width // 2 :] = rng.normal(0, 4, (len(own), width // 2))
    base = np.repeat(np.repeat(rng.integers(0, 256, (people, 8, 8, 3)), 8, axis=1), 8, axis=2)
    noise = rng.integers(-20, 20, (len(own), 64, 64, 3))
    images = np.clip(base[own] + noise, 0, 255).astype(np.uint8)
    return Lessons(own, images, images // 2, {"net": clear}, {"net": new})


def test_an_adapter_learns_which_features_survive():
    taught = lessons(30)
    attacker_net = parrot.adapter(taught, "net", rounds=8)
    start = parrot.adapter(taught, "net", rounds=0)
    assert start.rounds == 0
    assert attacker_net.held_out < start.held_out
    views = attacker_net.embed(taught.new_embeddings["net"])
    assert np.allclose(np.linalg.norm(views, axis=1), 1.0, atol=1e-5)


def test_a_pupil_is_the_same_at_every_run():
    taught = lessons()
    one, two = (parrot.adapter(taught, "net", rounds=2) for _ in range(2))
    values = taught.clear_embeddings["net"]
    assert np.allclose(one.embed(values), two.embed(values), atol=1e-6)


def test_a_net_from_scratch_tells_people_apart():
    attacker_net = parrot.from_scratch(lessons(), rounds=2)
    assert attacker_net.held_out < 0.3
    assert attacker_net.embed(lessons().clear[:3]).shape == (3, 128)


def test_a_reconstructor_undoes_what_is_easy():
    taught = lessons(4, 4)
    net = reconstruction.teach(taught, rounds=25)
    big = np.repeat(np.repeat(taught.new, 2, axis=1), 2, axis=2)
    made = reconstruction.rebuild(net, big)
    assert made.shape == big.shape
    wanted = taught.clear.astype(float)
    before = np.abs(taught.new - wanted).mean()
    assert np.abs(shrunk(made) - wanted).mean() < 0.9 * before


def test_people_with_few_images_are_left_out():
    people = np.array([0] * 5 + [1] * 2 + [2] * 4)
    rows = chosen(people, 100)
    assert sorted(set(people[rows].tolist())) == [0, 2]
    assert len(chosen(people, 5)) <= 5
    assert len(chosen(np.arange(10), 4)) == 4
