"""The mesh network: on the sample portrait, and what is kept of its meshes along a track."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stream_anon import geometry
from stream_anon.alignment import mesh_measures
from stream_anon.alignment.mesh import NAME, PRESENT, SIDE, FaceMesh
from stream_anon.alignment.topology import POINTS
from stream_anon.errors import ModelError
from stream_anon.models import registry
from stream_anon.tracking.mesh_track import (
    HASTE,
    MIN_BLEND,
    REST,
    SOON,
    MeshTracks,
    placed,
    told,
)
from tests.detection.conftest import FACE, Pixels, fetched
from tests.fakes import STATES, state


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    fetched(NAME)
    return FaceMesh(fetch=False)


@pytest.fixture(scope="module")
def crop(portrait: Pixels) -> Pixels:
    """RGB, one and a half face boxes."""
    x, y = (FACE[:2] + FACE[2:]) / 2
    half = 90
    part = portrait[int(y - half) : int(y + half), int(x - half) : int(x + half), ::-1]
    return np.ascontiguousarray(part)


def test_a_portrait_has_a_mesh_where_its_face_is(mesh: FaceMesh, crop: Pixels):
    points, presence = mesh(crop[None])
    assert points.shape == (1, POINTS, 3)
    assert presence[0] > 0.95
    five = mesh_measures.five(points)[0]
    # Found by eye in the crop, which begins at (135, 27) of the portrait.
    assert np.abs(five[0] - (68, 75)).max() < 8
    assert np.abs(five[1] - (113, 75)).max() < 8
    assert mesh_measures.direction(points[0]).turn < 25
    assert mesh_measures.mouth_opening(points)[0] > 0.1, "she smiles with her teeth"


def test_rows_of_a_batch_do_not_know_of_each_other(mesh: FaceMesh, crop: Pixels):
    alone, sure = mesh(crop[None])
    several = np.stack([crop, crop[:, ::-1], np.zeros_like(crop)] * 4)
    points, presence = mesh(several)
    assert np.abs(points[0] - alone[0]).max() < 0.5
    assert abs(presence[9] - sure[0]) < 0.01
    assert presence[2] < PRESENT, "black is no face"


def test_a_turned_frame_turns_the_mesh(mesh: FaceMesh, crop: Pixels):
    middle = ((crop.shape[1] - 1) / 2, (crop.shape[0] - 1) / 2)
    way = cv2.getRotationMatrix2D(middle, 15.0, 1.0)
    turned = cv2.warpAffine(crop, way, crop.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    points, _ = mesh(np.stack([crop, turned]))
    rolls = [mesh_measures.direction(p).roll for p in points]
    # A positive angle of OpenCV's is counter-clockwise.
    assert rolls[1] - rolls[0] == pytest.approx(-15.0, abs=3.0)


@pytest.mark.parametrize("bad", [np.zeros((1, 8, 9, 3), np.uint8), np.zeros((1, 8, 8, 3))])
def test_other_shapes_are_refused(mesh: FaceMesh, bad: np.ndarray):
    with pytest.raises(ValueError, match="uint8"):
        mesh(bad)


def test_a_missing_network_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("STREAM_ANON_MODELS", raising=False)
    with pytest.raises(ModelError, match=NAME):
        FaceMesh(tmp_path, fetch=False)


def test_the_registry_pins_wheel_and_member():
    entry = registry.describe(NAME)
    assert entry.kind == "mesh"
    assert entry.licence == "Apache-2.0"
    assert entry.size == 1_242_398


class Told:
    """A network that answers what it is told to."""

    def __init__(self) -> None:
        self.presence = 1.0
        self.shift = np.zeros((POINTS, 3))

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        base = mesh_measures.mean_mesh() * 1.5 + np.array([96.0, 96.0, 0.0]) + self.shift
        points = np.repeat(base[None], len(crops), axis=0).astype(np.float32)
        return points, np.full(len(crops), self.presence, np.float32)


FRAME = np.array([[2.0, 0.0, -30.0], [0.0, 2.0, -10.0]])
POINTS_5 = geometry.apply(geometry.invert(FRAME), geometry.TEMPLATE)


def one(tracks: MeshTracks, seconds: float, landmarks=POINTS_5, frame=FRAME):
    crops = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    return tracks([state(7)], crops, frame[None], frame[None], [landmarks], seconds)[0]


def test_a_mesh_lies_in_the_frame_where_its_crop_was():
    net = Told()
    mesh = one(MeshTracks(net), 0.0).mesh
    assert mesh is not None
    back = told(mesh, FRAME)
    wanted = (net(np.zeros((1, 1)))[0][0] + [0.5, 0.5, 0.0]) * (128 / SIDE) - [0.5, 0.5, 0.0]
    assert np.allclose(back, wanted, atol=1e-3)
    assert np.allclose(placed(net(np.zeros((1, 1)))[0][0], FRAME), mesh)


def test_trembling_is_calmed_and_a_mouth_that_opens_is_not():
    net = Told()
    tracks = MeshTracks(net)
    large = FRAME / 4.0
    points = geometry.apply(geometry.invert(large), geometry.TEMPLATE)
    first = one(tracks, 0.0, points, large).mesh
    net.shift[:, 0] = 0.3
    second = one(tracks, 0.04, points, large).mesh
    moved = np.abs(second - first)[:, 0]
    whole = 0.3 * 128 / SIDE / 0.5
    assert moved[10] < whole * (MIN_BLEND + 0.2), "the forehead"
    assert moved[[13, 14, 159, 145]] == pytest.approx(HASTE * whole, rel=0.1), "lips and lids"
    net.shift[:] = 0.0
    net.shift[13:15, 1] = 12.0
    third = one(tracks, 0.08, points, large).mesh
    assert np.allclose(third[13], placed(net(np.zeros((1, 1)))[0][0], large)[13], atol=1e-6)


def test_in_a_small_face_pixels_of_trembling_are_calmed():
    """Of 46 pixels: a mesh that is off by one of them, in one look."""
    net = Told()
    tracks = MeshTracks(net)
    first = one(tracks, 0.0).mesh
    net.shift[:, 0] = 3.0
    second = one(tracks, 0.04).mesh
    moved = np.abs(second - first)[:, 0]
    assert moved.max() < 0.4, "of one pixel"
    assert moved.min() > 0.1


def test_a_mesh_goes_with_its_head():
    net = Told()
    tracks = MeshTracks(net)
    first = one(tracks, 0.0).mesh
    away = FRAME.copy()
    away[:, 2] -= 40.0
    landmarks = geometry.apply(geometry.invert(away), geometry.TEMPLATE)
    second = one(tracks, 0.04, landmarks, away).mesh
    assert np.allclose(second - first, [20.0, 20.0, 0.0], atol=1e-6)


def test_what_shows_no_face_is_looked_at_now_and_then_only():
    net = Told()
    net.presence = 0.1
    tracks = MeshTracks(net)
    looked = 0
    for k in range(3 * (REST + 1)):
        if tracks.wants(state(7), 60.0):
            looked += 1
            assert one(tracks, k / 25).mesh is None
    assert looked == 3
    assert tracks.carried(state(7), FRAME, None, None, 2.0).presence < PRESENT
    STATES.end(7)
    assert tracks.carried(state(7), FRAME, None, None, 2.0) is None
    assert not tracks.wants(state(8), 12.0), "too small"


def test_a_face_that_the_detector_is_sure_of_is_looked_at_again_soon():
    """Somebody passed before it: it need not stay covered for another quarter of a second."""
    net = Told()
    net.presence = 0.1
    tracks = MeshTracks(net)
    looks = []
    for k in range(12):
        if tracks.wants(state(7), 60.0, 0.9):
            looks.append(k)
            one(tracks, k / 25)
    assert np.diff(looks).tolist() == [SOON + 1] * (len(looks) - 1)
    assert len(looks) == 4


def test_between_two_looks_a_mesh_goes_with_the_surface():
    tracks = MeshTracks(Told())
    assert tracks.wants(state(7), 60.0)
    first = one(tracks, 0.0).mesh
    assert not tracks.wants(state(7), 60.0), "looked at just now"
    moved = FRAME.copy()
    moved[:, 2] += 5.0
    # The surface lay two units further left in the frame before, whose own place changed as well.
    motion = np.zeros((16, 16, 2), np.float32)
    motion[..., 0] = -2.0
    found = tracks.carried(state(7), moved, motion, None, 0.04)
    assert np.allclose(found.mesh - first, [(2.0 - 5.0) / 2.0, -5.0 / 2.0, 0.0], atol=1e-4)
    assert tracks.wants(state(7), 60.0)


def test_without_a_surface_it_goes_with_the_landmarks_and_after_a_gap_it_is_found_anew():
    tracks = MeshTracks(Told())
    tracks.wants(state(7), 60.0)
    first = one(tracks, 0.0).mesh
    tracks.wants(state(7), 60.0)
    away = tracks.carried(state(7), FRAME, None, POINTS_5 + 4.0, 0.04).mesh
    assert np.allclose(away - first, [4.0, 4.0, 0.0], atol=1e-6)
    tracks.wants(state(7), 60.0)
    assert tracks.carried(state(7), FRAME, None, POINTS_5, 3.0).mesh is None
    assert tracks.wants(state(7), 60.0)


def test_a_close_up_is_looked_at_in_every_frame():
    tracks = MeshTracks(Told())
    for k in range(4):
        assert tracks.wants(state(7), 200.0)
        one(tracks, k / 25)
    looks = 0
    for k in range(4, 12):
        if tracks.wants(state(7), 60.0):
            looks += 1
            one(tracks, k / 25)
        else:
            tracks.carried(state(7), FRAME, None, POINTS_5, k / 25)
    assert looks in (4, 5)
