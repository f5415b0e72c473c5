"""Drawn faces stand in locked crops; what a tracker asks for beyond them is covered beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment.align import align, locked_all, reach
from stream_anon.alignment.masks import minimum_interior
from stream_anon.detection.types import TrackedFace
from stream_anon.geometry import mask_radius, scale_of
from stream_anon.methods import Rendered
from stream_anon.methods.base import Method
from stream_anon.pipeline.painting.face_stabilizer import MESH_SCALE, MOST_MISFIT, FaceStabilizer
from stream_anon.pipeline.painting.fringe import cover_beside, open_beside
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.tracking.mesh_track import Found
from tests.fakes import MemoryFrame, noise, state, tracked
from tests.pipeline.test_gate import STOP

DRAWN = 200


class Drawn(Method):
    """Draws flat faces; around the ellipse it repeats what it saw, as generators do."""

    name = "drawn"
    crop_size = 64
    crop_scale = 1.3
    opaque = True

    def render(self, crops, subjects):
        outside = ~minimum_interior(64)
        new = np.full_like(crops, DRAWN)
        new[:, outside] = crops[:, outside]
        masks = np.where(outside, 100, 255).astype(np.uint8)
        return Rendered(new, np.broadcast_to(masks, (len(crops), 64, 64)))


def doubtful(
    face: TrackedFace, right: float = 0.0, down: float = 0.0, grown: float = 1.0
) -> TrackedFace:
    """The same landmarks in a box that is off, in sizes, and grown, as between two detections."""
    centre, half = (face.box[2:] + face.box[:2]) / 2, (face.box[2:] - face.box[:2]) / 2
    centre = centre + np.array([right, down]) * face.size
    box = np.concatenate([centre - grown * half, centre + grown * half])
    return replace(face, box=box, transform=align(box, face.landmarks))


def radius(shape: tuple[int, ...], transform: np.ndarray) -> np.ndarray:
    """Of each pixel of a frame in a transform's minimum ellipses."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    places = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
    return mask_radius(places @ transform[:, :2].T + transform[:, 2]).reshape(shape[:2])


def locked(face: TrackedFace) -> np.ndarray:
    """The crop that it is drawn in."""
    assert face.landmarks is not None
    crops, _ = locked_all(face.transform[None], face.landmarks[None], 1.3, MOST_MISFIT[0])
    return np.asarray(crops[0])


@settings(max_examples=40, deadline=None)
@given(
    right=st.floats(-0.3, 0.3),
    down=st.floats(-0.3, 0.3),
    size=st.floats(1.0, 1.5),
    second=st.booleans(),
    at=st.floats(-30.0, 230.0),
)
def test_nothing_under_the_fringe_has_any_influence(right, down, size, second, at):
    """Two frames that differ only in what the tracker asks for come out alike there."""
    faces = [doubtful(tracked(at, 70, 90), right, down, size)]
    if second:
        faces.append(doubtful(tracked(at + 55, 75, 80, track=2), -right, down, size))
    crops = np.stack([locked(face) for face in faces])
    asked = np.zeros(noise().shape[:2], np.bool_)
    for face in faces:
        asked |= radius(asked.shape, face.transform) <= 1.0
    shown = []
    for seed in (0, 1):
        rgb = np.where(asked[..., None], noise(seed=seed), noise())
        frame = MemoryFrame(rgb)
        for crop in crops:
            # Drawn faces, a pixel beyond the ellipse: a frame's pixels are made of several.
            frame.rgb[radius(rgb.shape, crop) < 1.0 + 2.0 * scale_of(crop) / 44.0] = DRAWN
        cover_beside(frame, faces, crops, open_beside(faces, crops))
        shown.append(frame.rgb.astype(int))
    apart = np.abs(shown[0] - shown[1])[asked]
    assert not apart.size or apart.max() <= 1


def test_drawn_heads_do_not_breathe_with_their_boxes():
    """A detector's boxes tremble, and between two looks they grow by what is not known."""
    rng = np.random.default_rng(0)
    plain = tracked(100, 60, 36)
    stabilizer = FaceStabilizer(Drawn())
    for k in range(12):
        off = rng.normal(0.0, 0.05, 2)
        face = doubtful(plain, off[0], off[1], 1.0 + 0.3 * rng.random())
        transforms, _ = stabilizer.of(MemoryFrame(noise(), k), [face], [state()])
        # No wider than the method asks for.
        assert scale_of(plain.transform) / scale_of(transforms[0]) == pytest.approx(1.3)


def test_the_mesh_network_is_shown_the_face_and_not_what_is_not_known_of_its_box():
    shown = []

    class Meshes:
        def wants(self, *_) -> bool:
            return True

        def __call__(self, states, crops, transforms, *_):
            shown.extend(transforms)
            return [Found(None, 0.0)] * len(states)

    plain = tracked(100, 60, 36)
    stabilizer = FaceStabilizer(Drawn())
    stabilizer._meshes = Meshes()
    for grown in (1.0, 1.3, 1.6):
        stabilizer.of(MemoryFrame(noise()), [doubtful(plain, grown=grown)], [state()])
    scales = [scale_of(plain.transform) / scale_of(transform) for transform in shown]
    assert scales == pytest.approx([MESH_SCALE] * 3, rel=0.01)


def test_a_box_far_from_its_landmarks_is_covered_by_the_crop():
    """Then landmarks do not tell where the face is, and who draws sees how wide the crop is."""
    plain = tracked(100, 80, 36)
    face = doubtful(plain, grown=2.1)
    transforms, _ = FaceStabilizer(Drawn()).of(MemoryFrame(noise()), [face], [state()])
    assert scale_of(plain.transform) / scale_of(transforms[0]) > MOST_MISFIT[0]
    assert reach(face.transform[None], transforms)[0] <= 1.0 + 1e-6
    assert not open_beside([face], transforms)[0]


def test_a_fringe_leaves_drawn_faces_alone():
    """Its own and its neighbour's."""
    wide = doubtful(tracked(60, 60, 100, track=1), right=0.25, grown=1.4)
    near = tracked(130, 60, 100, track=2)
    crops = np.stack([locked(wide), locked(near)])
    frame = MemoryFrame(noise())
    before = frame.rgb.copy()
    cover_beside(frame, [wide, near], crops, np.array([True, False]))
    for crop in crops:
        core = radius(frame.rgb.shape, crop) < 0.84
        assert np.array_equal(frame.rgb[core], before[core])
    assert not np.array_equal(frame.rgb, before)


def test_the_compositor_covers_what_a_locked_crop_leaves_open():
    """A wall of one colour, and in the tracker's mask another: of that one nothing is left."""
    rgb = np.full((240, 320, 3), 90, np.uint8)
    face = doubtful(tracked(120, 80, 36), right=0.25, grown=1.1)
    assert open_beside([face], locked(face)[None])[0]
    hidden = radius(rgb.shape, face.transform) < 1.0
    rgb[hidden] = (255, 0, 0)
    frame = MemoryFrame(rgb)
    Compositor(Drawn(), STOP).clear(frame, [face])
    seen = frame.rgb[hidden].astype(int)
    assert np.abs(seen[:, 0] - seen[:, 1]).max() < 25
    assert np.abs(seen[radius(rgb.shape, face.transform)[hidden] < 0.95] - 145).max() < 60
