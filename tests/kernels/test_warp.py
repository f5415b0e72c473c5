"""A texture carried to where a mesh lies: the source against its twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment.topology import topology
from stream_anon.kernels.twin import TwinModule
from stream_anon.kernels.warp import fixed_points

TWIN = TwinModule("warp")


def painted(module, points, triangles, texels, textures, amounts, crops):
    """All faces in two launches."""
    faces, size, side = len(crops), crops.shape[1], textures.shape[1]
    count, number = points.shape[1], len(triangles)
    places = module.put(fixed_points(points))
    joined = module.put(triangles.astype(np.int32))
    owners = module.put(np.zeros((faces, size, size), np.int32))
    common = places, np.int32(faces), np.int32(count), joined
    module.launch(
        "warp_owners", faces * number, *common, np.int32(number), np.int32(size), owners
    )
    out = module.put(crops)
    module.launch(
        "warp_paint", faces * size * size, *common, owners, np.int32(size),
        module.put(fixed_points(texels)), module.put(textures), np.int32(side),
        module.put(np.array(amounts, np.int32)), out,
    )  # fmt: skip
    return module.get(owners).copy(), module.get(out).copy()


@settings(max_examples=25, deadline=None)
@given(
    faces=st.integers(1, 3),
    size=st.sampled_from([1, 16, 33]),
    reach=st.sampled_from([2.0, 40.0, 900.0, 1e7]),
    number=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_painting_agrees_with_the_twin(compiled, faces, size, reach, number, seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-reach / 3, reach, (faces, 9, 2))
    triangles = rng.integers(0, 9, (number, 3))
    texels = rng.uniform(-2, 21, (9, 2))
    textures = rng.integers(0, 256, (faces, 20, 20, 4)).astype(np.uint8)
    amounts = rng.integers(0, 257, faces)
    crops = rng.integers(0, 256, (faces, size, size, 3)).astype(np.uint8)
    asked = points, triangles, texels, textures, amounts, crops
    for one, two in zip(painted(compiled["warp"], *asked), painted(TWIN, *asked), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_mesh_at_rest_shows_the_texture_itself(compiled):
    """The face mesh's own triangles, laid flat: pixels show the texel of their place."""
    rng = np.random.default_rng(0)
    joined = topology().triangles
    texels = rng.uniform(4, 60, (468, 2))
    # One square of two triangles is enough to be exact; the rest of the mesh has no area.
    square = np.array([(4, 4), (60, 4), (60, 60), (4, 60)], float)
    triangles = np.array([(0, 1, 2), (0, 2, 3)])
    texture = rng.integers(0, 256, (1, 64, 64, 4)).astype(np.uint8)
    texture[..., 3] = 255
    crop = np.zeros((1, 64, 64, 3), np.uint8)
    owners, found = painted(
        compiled["warp"], square[None], triangles, square, texture, [256], crop
    )
    np.testing.assert_array_equal(found[0, 4:61, 4:61], texture[0, 4:61, 4:61, :3])
    assert not found[0, :4].any()
    assert set(np.unique(owners)) == {0, 1, 2}
    # All of the real mesh, wherever its points are thrown, and the other way round: nothing fails.
    mesh = np.stack([texels, texels[:, ::-1]])
    twice = np.repeat(texture, 2, 0), [256, 128], np.repeat(crop, 2, 0)
    one = painted(compiled["warp"], mesh, joined, texels, *twice)
    for a, b in zip(one, painted(TWIN, mesh, joined, texels, *twice), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_turned_away_or_has_no_amount_is_not_painted(compiled):
    square = np.array([(0, 0), (20, 0), (20, 20)], float)
    texture = np.full((1, 8, 8, 4), 255, np.uint8)
    crop = np.full((1, 24, 24, 3), 7, np.uint8)
    texels = np.array([(0, 0), (7, 0), (7, 7)], float)
    away, there = np.array([(0, 2, 1)]), np.array([(0, 1, 2)])
    for triangles, amount, shown in ((away, 256, False), (there, 0, False), (there, 256, True)):
        asked = square[None], triangles, texels, texture, [amount], crop
        _, found = painted(compiled["warp"], *asked)
        assert (found == 255).any() == shown
        assert (found == 7).all() != shown
