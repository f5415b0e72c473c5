"""What a mesh says of a face: how far mouth and eyes are open, and where the head looks.

Meshes are (468, 3) in any unit, x to the right, y down, z away from the camera, as
``stream_anon.alignment.mesh`` gives them. Nothing here is random and nothing is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.topology import (
    INNER_LIPS,
    LEFT_EYE,
    MOUTH_CORNERS,
    NOSE_TIP,
    POINTS,
    RIGHT_EYE,
)
from stream_anon.errors import ModelError
from stream_anon.models import WEIGHTS

Floats = NDArray[np.floating]
Array = NDArray[np.float64]

_MIDDLE = (4, 5, 6)
"""Pairs of the inner lips by which the mouth's opening is measured."""

_LIDS = (3, 4, 5)
"""Likewise of the lids."""


@dataclass(frozen=True, slots=True)
class Direction:
    """Where a head looks, in degrees.

    Attributes:
        yaw: to the right of the image positive.
        pitch: upwards positive.
        roll: clockwise in the image positive.
        turn: angle between the face's own axis and the camera's, whatever its direction.
    """

    yaw: float
    pitch: float
    roll: float
    turn: float


@lru_cache(maxsize=1)
def mean_mesh() -> Array:
    """The mean frontal mesh (468, 3), looking at the camera, mean 0; read-only.

    Made by ``stream-anon train`` (stage ``morphable``) from its training faces.

    Raises:
        ModelError: it is missing.
    """
    file = WEIGHTS / "mesh_mean.npy"
    if not file.exists():
        raise ModelError(f"the mean mesh is missing: {file}")
    mean: Array = np.load(file).astype(np.float64)
    mean.setflags(write=False)
    return mean


def mouth_opening(meshes: Floats) -> Array:
    """Height of the opening between the lips over the width of the mouth.

    Args:
        meshes: (n, 468, 3).

    Returns:
        (n,) float64, 0 is closed.
    """
    points = np.asarray(meshes, np.float64)
    upper, lower = (points[:, [side[k] for k in _MIDDLE]] for side in INNER_LIPS)
    height = np.linalg.norm(upper - lower, axis=2).mean(axis=1)
    corners = points[:, MOUTH_CORNERS[0]] - points[:, MOUTH_CORNERS[1]]
    return np.asarray(height / np.maximum(np.linalg.norm(corners, axis=1), 1e-9))


def eye_opening(meshes: Floats) -> Array:
    """Distance of the lids over the width of the eye, the mean of both eyes; (n,), 0 is closed."""
    points = np.asarray(meshes, np.float64)
    found = np.zeros(len(points))
    for upper, lower in (RIGHT_EYE, LEFT_EYE):
        a, b = points[:, [upper[k] for k in _LIDS]], points[:, [lower[k] for k in _LIDS]]
        width = np.linalg.norm(points[:, upper[0]] - points[:, upper[-1]], axis=1)
        found += np.linalg.norm(a - b, axis=2).mean(axis=1) / np.maximum(width, 1e-9)
    return found / 2.0


def five(meshes: Floats) -> Array:
    """The five landmarks of this project (eyes, nose, mouth corners): (n, 5, 2)."""
    points = np.asarray(meshes, np.float64)[..., :2]
    eyes = [points[:, [e[0][0], e[0][-1]]].mean(axis=1) for e in (RIGHT_EYE, LEFT_EYE)]
    others = [points[:, k] for k in (NOSE_TIP, *MOUTH_CORNERS)]
    return np.stack([*eyes, *others], axis=1)


def rigid(meshes: Floats, target: Floats | None = None) -> tuple[Array, Array, Array]:
    """The least-squares similarities in space from ``target`` to meshes (Umeyama, PAMI 1991).

    Args:
        meshes: (n, 468, 3).
        target: (468, 3); None takes the mean mesh.

    Returns:
        Rotations (n, 3, 3), scales (n,) and shifts (n, 3): mesh = scale * target @ R.T + shift.

    Raises:
        ValueError: the points of a mesh coincide.
    """
    points = np.asarray(meshes, np.float64)
    model = mean_mesh() if target is None else np.asarray(target, np.float64)
    if points.shape[1:] != (POINTS, 3):
        raise ValueError(f"meshes must be (n, {POINTS}, 3), got {points.shape}")
    model_mean, means = model.mean(axis=0), points.mean(axis=1)
    a, b = model - model_mean, points - means[:, None]
    spread = float((a * a).sum())
    if not (np.square(b).sum(axis=(1, 2)) > 1e-9).all():
        raise ValueError("the points of a mesh coincide")
    u, s, vt = np.linalg.svd(b.transpose(0, 2, 1) @ a)
    signs = np.ones((len(points), 3))
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotations = (u * signs[:, None]) @ vt
    scales = (s * signs).sum(axis=1) / spread
    shifts = means - scales[:, None] * np.einsum("nij,j->ni", rotations, model_mean)
    return rotations, scales, shifts


def direction(mesh: Floats) -> Direction:
    """Where the head of one mesh (468, 3) looks."""
    return direction_of(rigid(np.asarray(mesh)[None])[0][0])


def direction_of(rotation: Array) -> Direction:
    """Angles of a rotation (3, 3) from the mean mesh, as ``rigid`` gives it."""
    # The face's axis points at the camera: minus z in the mean mesh.
    x, y, z = -rotation[:, 2]
    yaw = np.degrees(np.arctan2(x, -z))
    pitch = np.degrees(np.arctan2(-y, np.hypot(x, z)))
    roll = np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))
    turn = np.degrees(np.arccos(np.clip(-z, -1.0, 1.0)))
    return Direction(float(yaw), float(pitch), float(roll), float(turn))


def between(first: Array, second: Array) -> float:
    """Angle in degrees between the directions that two rotations (3, 3) look in."""
    cosine = float(first[:, 2] @ second[:, 2])
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
