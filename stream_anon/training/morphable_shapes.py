"""Shapes of many faces: brought together in space, and divided into expression and identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment import mesh_measures
from stream_anon.alignment.morphable import (
    COARSE,
    TEXTURE,
)
from stream_anon.alignment.topology import INNER_LIPS, LEFT_EYE, RIGHT_EYE

Floats = NDArray[np.float32]
Array = NDArray[np.float64]

EXPRESSIONS, IDENTITIES = 24, 40
"""How many components are kept of each."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Meshes brought together.

    Attributes:
        mean: (468, 3) in aligned units.
        aligned: (n, 468, 3) likewise.
        turns: (n,) degrees between a face's axis and the camera's.
    """

    mean: Array
    aligned: Floats
    turns: Array


def settle(meshes: NDArray[np.floating], rounds: int = 3) -> Shapes:
    """Generalised Procrustes: meshes (n, 468, 3) of about one size, one on the other."""
    points = np.asarray(meshes, np.float64)
    mean = points.mean(axis=0)
    # The mirror image of a face is a face: the mean looks straight ahead.
    mean -= mean.mean(axis=0)
    size = float(np.sqrt((mean**2).sum()))
    for _ in range(rounds):
        rotations, scales, shifts = mesh_measures.rigid(points, mean)
        aligned = np.einsum("nki,nij->nkj", points - shifts[:, None], rotations)
        aligned /= scales[:, None, None]
        mean = _straight(aligned.mean(axis=0), size)
    rotations, scales, shifts = mesh_measures.rigid(points, mean)
    aligned = np.einsum("nki,nij->nkj", points - shifts[:, None], rotations)
    aligned /= scales[:, None, None]
    turns = np.degrees(np.arccos(np.clip(rotations[:, 2, 2], -1.0, 1.0)))
    return Shapes(mean, aligned.astype(np.float32), turns)


def _straight(mesh: Array, size: float) -> Array:
    """Turn a mean mesh so that it is symmetric about x = 0; keep its size."""
    mesh = mesh - mesh.mean(axis=0)
    pairs = [
        (right, left)
        for a, b in zip(RIGHT_EYE, (LEFT_EYE[0][::-1], LEFT_EYE[1][::-1]), strict=True)
        for right, left in zip(a, b, strict=True)
    ]
    pairs += [(side[k], side[-1 - k]) for side in INNER_LIPS for k in range(len(side) // 2)]
    across = np.array([mesh[b] - mesh[a] for a, b in pairs]).mean(axis=0)
    x = across / np.linalg.norm(across)
    y = np.array([0.0, 1.0, 0.0]) - x[1] * x
    y /= np.linalg.norm(y)
    basis = np.stack([x, y, np.cross(x, y)])
    mesh = mesh @ basis.T
    mesh[:, 0] -= np.mean([(mesh[a, 0] + mesh[b, 0]) / 2 for a, b in pairs])
    return np.asarray(mesh * size / np.sqrt((mesh**2).sum()))


def components(rows: Floats, count: int, seed: int = 0) -> tuple[Floats, Floats]:
    """The widest directions of centred rows (n, d), by randomised subspace iteration.

    Halko, Martinsson & Tropp 2011, algorithm 4.4.

    Returns:
        Orthonormal (count, d), and standard deviations (count,).
    """
    rng = np.random.default_rng(seed)
    width = min(count + 16, *rows.shape)
    sample = rows @ rng.standard_normal((rows.shape[1], width), np.float32)
    for _ in range(3):
        sample, _ = np.linalg.qr(sample)
        other, _ = np.linalg.qr(rows.T @ sample)
        sample = rows @ other
    _, s, vt = np.linalg.svd(sample, full_matrices=False)
    basis = (vt @ other.T)[:count]
    return basis.astype(np.float32), (s[:count] / np.sqrt(len(rows))).astype(np.float32)


def people_of(names: NDArray[np.str_], source: NDArray[np.int64]) -> NDArray[np.int64]:
    """Who is on each image: the file name's part before ``_`` where it names people, else -1.

    A set names people where a prefix of five or more digits comes back.
    """
    prefixes = np.array([n.split("_")[0] for n in names])
    known = np.array([len(p) >= 5 and p.isdigit() for p in prefixes])
    found = np.full(len(names), -1, np.int64)
    _, found[known] = np.unique(
        np.char.add(np.char.add(source[known].astype(str), "/"), prefixes[known]),
        return_inverse=True,
    )
    return found


def shape_bases(
    shapes: Shapes, people: NDArray[np.int64]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Expression and identity: bases (24, 1404) and (40, 1404), deviations (24,) and (40,).

    Identity is orthogonal to the widest expressions (``COARSE``) alone: finer ones are used about
    eyes and mouth only.
    """
    straight = shapes.turns < 35.0
    flat = shapes.aligned.reshape(len(people), -1)
    within, between = [], []
    for person in np.unique(people[people >= 0]):
        rows = flat[(people == person) & straight]
        if len(rows) >= 4:
            within.append(rows - rows.mean(axis=0))
            between.append(rows.mean(axis=0))
    if len(within) < 8:
        raise ValueError("expression needs a set that names people, with several images each")
    expression, moves = components(np.concatenate(within), EXPRESSIONS)
    # Images of people who are seen once carry an expression as well; it is taken out.
    others = flat[(people < 0) & (shapes.turns < 20.0)]
    rows = np.concatenate([np.stack(between), others])
    rows = rows - rows.mean(axis=0)
    rows -= (rows @ expression[:COARSE].T) @ expression[:COARSE]
    identity, sizes = components(rows.astype(np.float32), IDENTITIES)
    return expression, moves, identity, sizes


def unrolled_places(mean: Array, opened: Array) -> Floats:
    """Where each vertex lies in the texture: (468, 2) texels.

    About a vertical axis behind the face; mouth and eyes stand as open as in ``opened``, so that
    their insides have room.
    """
    depth = opened[:, 2] - (np.percentile(mean[:, 2], 98) + 8.0)
    around = np.arctan2(opened[:, 0], -depth)
    radius = float(np.median(-depth))
    flat = np.stack([around * radius, opened[:, 1]], axis=1)
    low, high = flat.min(axis=0), flat.max(axis=0)
    margin = 3.0
    scale = (TEXTURE - 1 - 2 * margin) / (high - low)
    return np.asarray((flat - low) * scale + margin, np.float32)


def low_pass_fit(rows: Floats, basis: Floats, weight: Floats) -> Floats:
    """Coefficients (b, 3) of log levels (k, 3) in a basis (k, b), weighted (k,)."""
    weighted = basis * weight[:, None]
    square = weighted.T @ basis + 1e-3 * float(weight.sum()) / len(weight) * np.eye(basis.shape[1])
    return np.linalg.solve(square, weighted.T @ rows).astype(np.float32)
