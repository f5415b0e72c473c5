"""What a mesh says, on meshes that are made to say it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment import mesh_measures
from stream_anon.alignment.topology import INNER_LIPS, LEFT_EYE, POINTS, RIGHT_EYE, topology

ANGLE = st.floats(-55.0, 55.0)


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


@settings(deadline=None)
@given(ANGLE, st.floats(-40.0, 40.0), ANGLE, st.floats(0.2, 8.0))
def test_a_head_that_was_turned_is_read_as_turned(yaw, pitch, roll, scale):
    turn = rotation(yaw, pitch, roll)
    mesh = scale * mesh_measures.mean_mesh() @ turn.T + np.array([30.0, -7.0, 2.0])
    rotations, scales, shifts = mesh_measures.rigid(mesh[None])
    assert np.allclose(rotations[0], turn, atol=1e-6)
    assert scales[0] == pytest.approx(scale)
    assert np.allclose(shifts[0], [30.0, -7.0, 2.0], atol=1e-6)
    found = mesh_measures.direction_of(rotations[0])
    assert found.yaw == pytest.approx(yaw, abs=1e-4)
    assert found.pitch == pytest.approx(pitch, abs=1e-4)
    cosine = np.cos(np.radians(yaw)) * np.cos(np.radians(pitch))
    assert found.turn == pytest.approx(np.degrees(np.arccos(cosine)), abs=1e-4)


def test_roll_is_read_and_the_mean_looks_at_the_camera():
    assert mesh_measures.direction(mesh_measures.mean_mesh()).turn < 1e-6
    mesh = mesh_measures.mean_mesh() @ rotation(0, 0, 25.0).T
    assert mesh_measures.direction(mesh).roll == pytest.approx(25.0)
    assert mesh_measures.between(np.eye(3), rotation(20.0, 0, 0)) == pytest.approx(20.0)


def opened(pair, amount: float) -> np.ndarray:
    mesh = mesh_measures.mean_mesh().copy()
    upper, lower = (list(side[1:-1]) for side in pair)
    mesh[lower] = mesh[upper]
    mesh[lower, 1] += amount
    return mesh


@pytest.mark.parametrize("turn", [0.0, 35.0])
def test_openings_grow_with_the_gap_and_do_not_care_for_the_turn(turn):
    way = rotation(turn, 0.0, 10.0)
    mouths = [
        mesh_measures.mouth_opening((opened(INNER_LIPS, k) @ way.T)[None])[0] for k in (0, 4, 8)
    ]
    assert mouths[0] == pytest.approx(0.0, abs=1e-9)
    assert mouths[2] == pytest.approx(2 * mouths[1])
    for pair in (RIGHT_EYE, LEFT_EYE):
        shut, wide = (mesh_measures.eye_opening((opened(pair, k) @ way.T)[None])[0] for k in (0, 6))
        assert wide > shut + 0.1


def test_five_landmarks_stand_as_in_this_project():
    left, right, nose, mouth_left, mouth_right = mesh_measures.five(
        mesh_measures.mean_mesh()[None]
    )[0]
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < nose[0] < mouth_right[0]
    assert left[1] < nose[1] < mouth_left[1]


def test_points_that_coincide_have_no_direction():
    with pytest.raises(ValueError, match="coincide"):
        mesh_measures.rigid(np.zeros((1, POINTS, 3)))


def test_the_triangles_are_one_surface_that_faces_the_camera():
    table = topology().triangles
    assert len(table) == 900
    assert (np.bincount(topology().kinds) == [854, 14, 14, 18]).all()
    assert set(table.ravel().tolist()) == set(range(POINTS))
    # Neighbours run along their common edge in opposite directions. A few triples of the list's
    # edges are joined that are no triangle of the surface.
    edges = [(int(t[a]), int(t[b])) for t in table for a, b in ((0, 1), (1, 2), (2, 0))]
    assert len(edges) - len(set(edges)) <= 8
    flat = mesh_measures.mean_mesh()[:, :2]
    (ux, uy), (vx, vy) = (
        (flat[table[:, k]] - flat[table[:, 0]]).T for k in (1, 2)
    )
    areas = ux * vy - uy * vx
    assert areas[areas > 0].sum() > 20 * -areas[areas < 0].sum()
