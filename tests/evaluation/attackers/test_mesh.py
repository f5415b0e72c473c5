"""The attacker that looks at geometry: people made of the morphable face's own components."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment import morphable
from stream_anon.errors import ConfigError
from stream_anon.evaluation import scores
from stream_anon.evaluation.attackers import mesh as meshes
from stream_anon.evaluation.attackers.loading import load_attackers, read_spec, recognisers
from stream_anon.evaluation.reporting.files import shipped_attackers

SHAPES, MOVES = 40, 24


def people(count: int, each: int, own: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Meshes of people whose shape is a share ``own`` of what differs, turned and moved."""
    rng = np.random.default_rng(seed)
    model = morphable.load().model
    who = np.repeat(np.arange(count), each)
    shape = rng.normal(0, 1, (count, SHAPES))[who] * own
    moved = rng.normal(0, 1, (len(who), MOVES)) * (1.0 - own)
    away = (shape * model.identity_deviation) @ model.identity
    away += (moved * model.expression_deviation) @ model.expression
    points = model.mean + away.reshape(len(who), -1, 3)
    return np.stack([turned(p, rng) for p in points]), who


def turned(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    return rng.uniform(0.5, 3.0) * points @ rotation.T + rng.uniform(-200, 200, 3)


def rates(vectors: np.ndarray, who: np.ndarray) -> float:
    alike = vectors @ vectors.T
    upper = np.triu(np.ones(alike.shape, bool), 1)
    same = who[:, None] == who[None, :]
    return scores.equal_error(alike[same & upper], alike[~same & upper])


def test_people_whose_shape_is_their_own_are_told_apart_and_others_are_not():
    own, who = people(12, 4, 0.9)
    assert rates(meshes.coefficients(own), who) < 0.05
    nobody, who = people(12, 4, 0.0)
    assert 0.35 < rates(meshes.coefficients(nobody), who) < 0.65


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_size_place_and_direction_do_not_matter(seed):
    points, _ = people(1, 1, 0.5, seed)
    again = turned(points[0], np.random.default_rng(seed + 1))
    first, second = meshes.coefficients(np.stack([points[0], again]))
    assert first @ second == pytest.approx(1.0, abs=1e-4)


def test_what_is_left_out_is_left_out():
    points, _ = people(2, 3, 0.5)
    alone = meshes.coefficients(points, shape=1.0, expression=0.0)
    assert alone.shape == (6, SHAPES + MOVES + 3)
    assert alone[:, :SHAPES].any()
    assert not alone[:, SHAPES:].any()
    assert not meshes.coefficients(points, 0.0, 1.0)[:, :SHAPES].any()


def test_the_control_sees_the_direction_and_nothing_else():
    model = morphable.load().model
    points, _ = people(3, 1, 0.5)
    for angle in (0.0, 20.0, 50.0):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        head = model.mean @ np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]]).T
        both = meshes.coefficients(np.stack([model.mean, head]), 0.0, 0.0, 1.0)
        assert both[0] @ both[1] == pytest.approx(c, abs=1e-3)
        assert both[:, -1] == pytest.approx([-1.0, -c], abs=1e-3)
    assert not meshes.coefficients(points, 0.0, 0.0, 1.0)[:, :-3].any()
    assert not meshes.coefficients(points)[:, -3:].any()


def test_points_that_coincide_are_like_nobody():
    points, _ = people(2, 1, 0.5)
    points[1] = 5.0
    found = meshes.coefficients(points)
    assert np.linalg.norm(found[0]) == pytest.approx(1.0, abs=1e-5)
    assert not found[1].any()
    assert not meshes.coefficients(np.zeros((2, 468, 3))).any()


def test_a_description_of_it_is_read_and_a_wrong_one_refused(tmp_path: Path):
    path = next(p for p in shipped_attackers() if p.stem == "mesh")
    spec = read_spec(path)
    assert isinstance(spec, meshes.MeshSpec)
    assert spec.dimension == SHAPES + MOVES + 3
    bad = tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump({"kind": "mesh", "name": "mesh", "shape": -1}))
    with pytest.raises(ConfigError, match="shape"):
        read_spec(bad)


@pytest.mark.shared
def test_real_people_are_told_apart_better_than_by_chance(shared: Path):
    from stream_anon.evaluation.data.face_set import read_faces, read_pairs

    path = next(p for p in shipped_attackers() if p.stem == "mesh")
    (attacker,) = load_attackers([path], shared / "models")
    assert recognisers([attacker]) == []
    faces = read_faces(shared / "faces" / "lfw_dev_128.tar")
    pairs = read_pairs(shared / "faces" / "lfw_dev_pairs.csv", faces).take(250)
    a, b = (attacker.embed(faces.images(rows)) for rows in (pairs.a, pairs.b))
    alike = np.einsum("nd,nd->n", a, b)
    rate = scores.equal_error(alike[pairs.same], alike[~pairs.same])
    assert rate < 0.38
    # The same pictures with their faces covered tell nothing.
    hidden = faces.images(pairs.b)
    hidden[:, 20:124, 16:112] = 127
    alike = np.einsum("nd,nd->n", a, attacker.embed(hidden))
    assert scores.equal_error(alike[pairs.same], alike[~pairs.same]) > 0.42
