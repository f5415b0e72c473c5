"""The morphable face is what its data say: shapes, textures, the numbers that stand for them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream_anon.alignment import mesh_measures
from stream_anon.alignment.morphable import TEXTURE, Morphable, load, low_order
from stream_anon.alignment.topology import topology
from stream_anon.alignment.uv import rasterise, unroll
from stream_anon.training import morphable, morphable_shapes
from stream_anon.training import topology as builder
from stream_anon.training.data.pack import Pack
from tests.models.test_mesh_measures import rotation


def heads(count: int, seed: int = 0, spread: float = 0.0) -> np.ndarray:
    """Mean heads, turned, sized, placed and bent at random: (n, 468, 3)."""
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((40, 468, 3))
    out = []
    for _ in range(count):
        bent = mesh_measures.mean_mesh() + spread * np.tensordot(rng.standard_normal(40), basis, 1)
        turn = rotation(*rng.uniform(-12, 12, 3))
        out.append(rng.uniform(0.8, 1.2) * bent @ turn.T + [*rng.uniform(55, 75, 2), 0.0])
    return np.stack(out)


def test_heads_that_differ_by_place_size_and_turn_are_one():
    shapes = morphable_shapes.settle(heads(12))
    assert np.abs(shapes.aligned - shapes.mean).max() < 0.05
    # The same head, but for a nod: nothing tells how far up the mean face looks.
    turn, scale, shift = (part[0] for part in mesh_measures.rigid(shapes.mean[None]))
    assert np.abs((shapes.mean - shift) @ turn / scale - mesh_measures.mean_mesh()).max() < 0.05
    assert abs(mesh_measures.direction_of(turn).yaw) < 0.1
    assert abs(mesh_measures.direction_of(turn).roll) < 0.1
    assert shapes.turns.max() < 25


def test_components_are_those_of_an_exact_decomposition():
    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((80, 12)) @ rng.standard_normal((12, 300))).astype(np.float32)
    rows -= rows.mean(axis=0)
    basis, deviations = morphable_shapes.components(rows, 12)
    exact = np.linalg.svd(rows, compute_uv=False)[:12] / np.sqrt(80)
    assert np.allclose(deviations, exact, rtol=1e-3)
    assert np.allclose(basis @ basis.T, np.eye(12), atol=1e-4)
    assert np.abs(rows - rows @ basis.T @ basis).max() < 1e-2 * np.abs(rows).max()


def test_people_are_known_by_long_numbers_and_ages_are_not_people():
    names = np.array(["07201_1.jpg", "07201_2.jpg", "50_0_0_2017.jpg", "00003_9.jpg"])
    found = morphable_shapes.people_of(names, np.array([0, 0, 1, 0]))
    assert found[0] == found[1] != found[3]
    assert found[2] == -1


def test_a_light_is_taken_off_and_what_is_left_knows_nothing_of_it():
    model = load()
    weight = np.ones(len(model.basis), np.float32)
    detail = np.sin(np.arange(len(model.basis)) * 0.9)[:, None].astype(np.float32) * 0.2
    left = []
    for light in (np.zeros((6, 3), np.float32), np.full((6, 3), 0.4, np.float32)):
        levels = detail + model.basis @ light
        fitted = morphable_shapes.low_pass_fit(levels, model.basis, weight)
        left.append(levels - model.basis @ fitted)
    assert np.abs(left[0] - left[1]).max() < 0.02
    assert low_order(model.model.mean).shape == (468, 6)


def test_both_sides_get_the_same_coarse_part():
    model = load()
    image = np.zeros((TEXTURE, TEXTURE, 3), np.float32)
    image[:, : TEXTURE // 2] = 0.5
    even = morphable.even_sided(image[model.raster.inside], model.raster)
    back = np.zeros_like(image)
    back[model.raster.inside] = even
    left, right = back[90, 40, 0], back[90, TEXTURE - 1 - 40, 0]
    assert abs(left - right) < 0.1, "0.5 before"


def test_a_texture_is_read_where_the_mesh_lies():
    model = load()
    image = np.zeros((128, 128, 3), np.uint8)
    image[..., 0] = np.arange(128)
    image[..., 1] = np.arange(128)[:, None]
    points = model.model.mean[:, :2] + 64.0
    rows = unroll(image, points, model.raster)
    assert np.abs(rows[:, :2] - model.raster.at(points)).max() < 1.0
    raster = rasterise(model.model.places, topology().triangles, TEXTURE)
    assert np.array_equal(raster.triangle, model.raster.triangle)
    assert np.allclose(raster.weights.sum(axis=1), 1.0, atol=1e-4)


@pytest.mark.slow
def test_a_model_is_built_stored_and_read_back(tmp_path: Path):
    rng = np.random.default_rng(1)
    count = 90
    meshes = heads(count, 2, 0.05).astype(np.float32)
    upper = mesh_measures.mean_mesh()[:, 1] > 21.0
    for k, mesh in enumerate(meshes):
        mesh[upper, 1] += 6.0 * (k % 3)
    images = np.stack([
        cv2.resize(rng.integers(60, 200, (16, 16, 3), dtype=np.uint8), (128, 128))
        for _ in range(count)
    ])
    names = np.array([f"{10000 + k // 6}_{k}.jpg" for k in range(count)])
    pack = Pack(
        images, np.ones((count, 128, 128), bool), np.zeros((count, 5, 2), np.float32), names,
        np.zeros(count, np.int64),
    )  # fmt: skip
    codes = rng.standard_normal((count, 128)).astype(np.float32)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    prior = (np.zeros(128, np.float32), np.eye(128, dtype=np.float32))
    out = tmp_path / "model.npz"
    built = morphable.build(pack, meshes, np.ones(count, np.float32), codes, prior, out)
    again = load(out)
    assert isinstance(again, Morphable)
    assert np.allclose(again.model.mean, built.model.mean)
    texture, identity = again.coefficients(codes[0])
    scale = np.abs(built.model.texture).max()
    assert np.abs(again.model.texture - built.model.texture).max() < 0.01 * scale
    assert np.isfinite(again.texture(texture)).all()
    assert np.isfinite(again.shape(identity)).all()
    assert (out.with_name("mesh_mean.npy")).exists()


def test_the_triangles_come_out_of_the_wheels_list(tmp_path: Path):
    source = "FACEMESH_TESSELATION = frozenset([(0, 1), (1, 2), (2, 0), (2, 3), (3, 1)])\n"
    edges = builder.edges_of(source)
    assert edges == {(0, 1), (1, 2), (0, 2), (2, 3), (1, 3)}
    assert builder.triangles_of(edges) == [(0, 1, 2), (1, 2, 3)]
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    table = builder.wound([(0, 1, 2), (1, 2, 3)], points)
    for a, b, c in table:
        (ux, uy), (vx, vy) = points[b] - points[a], points[c] - points[a]
        assert ux * vy - uy * vx > 0
    with pytest.raises(ValueError, match="no FACEMESH_TESSELATION"):
        builder.edges_of("OTHER = frozenset([(0, 1)])")
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("nothing.py", "")
    with pytest.raises(KeyError):
        builder.build(wheel, tmp_path / "mesh.npy", tmp_path / "out.npz")
