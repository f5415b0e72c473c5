"""A face drawn once as a texture and moved by the video's mesh in every frame.

The code of a track decides texture and shape (``alignment.morphable``); the video decides place,
head direction and expression, the last through nine numbers; light and tone are those of the
generator's own drawing, which has seen nothing of the face but a plane of colours. So nothing
reaches the frame here that was not told already, but expression and a finer head direction.

What is painted ends softly before the mesh does. Around it, outline, hair and neck are the
generator's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment import mesh_measures
from stream_anon.alignment.morphable import (
    COARSE,
    LEVELS,
    Morphable,
    feature_vertices,
    load,
    skin_vertices,
)
from stream_anon.alignment.topology import topology
from stream_anon.geometry import ALIGNED_SIDE
from stream_anon.methods.base import Pixels, Subject
from stream_anon.methods.morph_paint import IRISES, Paint, Painter
from stream_anon.methods.openings import Openings
from stream_anon.track_state import Part

Floats = NDArray[np.float32]
Codes = NDArray[np.float32]

GRID = 96
"""Side at which places in a frame are told their texel."""

SPREAD = 1.0
"""Share of people's spread in texture that drawn ones have. With less what surrounds them links
clips of one person (docs/results/looks.md), more and they are caricatures."""

SHAPE = 2.0
"""Likewise of their spread in shape."""

KEPT = 0.45
"""Share of the video's expression, openings apart, that the new face shows: the rest of it is
how somebody looks at rest."""

REST = 0.7
"""Deviations of expression by which new faces differ at rest."""

MOST_EXPRESSION = 3.5
"""Deviations beyond which an expression is taken for a mistake of the mesh."""

SHUT = ((0.03, 0.1), (0.1, 0.2), (0.1, 0.2))
"""Openings of mouth, right and left eye up to which they are painted closed, and from which they
are painted open. Between closed lips there is no room for what a map of 96 cells would show."""

USUAL = 0.25
"""Root mean square of the features of a drawing in clear air, in log levels, as they are read."""

CONTRASTS = (0.5, 1.1)
"""Least and most contrast of a painting: haze and compression take it from faces as well."""

UNSEEN = 0.02
"""Change of a coefficient of the light, in log levels, for which nothing is painted anew."""

MIN_BLEND = 0.15
"""Share of a new reading of the light that is taken while there is an old one."""

SIDES = (128, 256, 384)
"""Sides of the faces that are handed on; the larger ones for close-ups."""

ENLARGED = (1.35, 2.4)
"""Frame pixels for one aligned unit from which the larger ones are used."""

WIDEST = 58.0
"""Turn in degrees beyond which half of the texture is out of sight: nothing is painted."""

LEVEL = 45.0
"""Turn from which the painting fades."""


@dataclass(slots=True, eq=False)
class _Person:
    """What a track was given: decided once, by its code.

    Attributes:
        detail: (k, 3) of its texture, logarithms.
        offset: (468, 3) of its shape.
        iris: number of its colour.
        light: (7, 3) as read off the generator's drawings: its light, then its contrast.
        painted: (7, 3), the light in which it was painted.
        paint: its textures in that light.
    """

    detail: Floats
    offset: Floats
    iris: int
    light: Floats | None = None
    painted: Floats | None = None
    paint: Paint | None = None


class Morph:
    """Paints meshes over drawings; remembers what each track was given.

    Args:
        model: None takes the one that ships.

    Raises:
        ModelError: it is missing.
    """

    def __init__(self, model: Morphable | None = None) -> None:
        self.model = load() if model is None else model
        self._people: Part[_Person] = Part()
        self._vertices = skin_vertices(self.model.model.mean)
        self._features = feature_vertices(self.model.model.mean)
        basis = self.model.vertex_basis[self._vertices]
        # A ridge: what a turned head hides must not run away.
        square = basis.T @ basis + 0.04 * len(basis) * np.diag([0.0] + [1.0] * 5)
        self._solve = np.linalg.solve(square, basis.T).astype(np.float32)
        self._painter = Painter(self.model)
        self._openings = Openings(self.model.model.mean)
        # A fixed projection: the same code looks the same at rest in every run.
        rest = np.random.default_rng(7).standard_normal((len(self.model.model.code_mean), COARSE))
        self._rest = rest.astype(np.float32)

    def read(self, generated: Pixels, codes: Codes, subjects: Sequence[Subject]) -> None:
        """Read light and tone off new drawings, and paint the textures that hang on them.

        Args:
            generated: (n, s, s, 3) uint8, the generator's, fitted to its surroundings.
            codes: (n, 128) unit codes.
            subjects: n of them; those without a mesh are passed over.
        """
        for face, code, subject in zip(generated, codes, subjects, strict=True):
            if subject.mesh is None:
                continue
            person = self._people.get(subject.state)
            if person is None:
                texture, identity = self.model.coefficients(code)
                offset = self.model.shape(np.clip(identity, -2.5, 2.5) * SHAPE)
                offset = offset + self.model.moved(REST * self._resting(code))
                iris = int(np.floor(abs(float(code[:8].sum())) * 997.0)) % len(IRISES)
                detail = self.model.texture(np.clip(texture, -1.8, 1.8) * SPREAD)
                person = _Person(detail, offset, iris)
                self._people.put(subject.state, person)
            # Where the new face will be: where its vertices lie, nothing of the old one's shape.
            placed, amount, _ = self.moved(subject.mesh, person.offset)
            if not amount and person.light is not None:
                continue
            light = self._light(face, placed)
            if person.light is not None:
                light = person.light + MIN_BLEND * (light - person.light)
            person.light = light
            if person.painted is None or np.abs(light - person.painted).max() > UNSEEN:
                contrast = float(np.clip(light[-1, 0], *CONTRASTS))
                person.paint = self._painter(person.detail, light[:-1], person.iris, contrast)
                person.painted = light

    def __call__(self, faces: Pixels, subjects: Sequence[Subject], scale: float) -> Pixels:
        """Paint.

        Args:
            faces: (n, s, s, 3) uint8, the generator's drawings.
            subjects: n of them.
            scale: frame pixels for one aligned unit, of the largest of them.

        Returns:
            (n, t, t, 3) uint8; t is 256 for close-ups.
        """
        side = SIDES[sum(scale > limit for limit in ENLARGED)]
        out = np.empty((len(faces), side, side, 3), np.uint8)
        for face, subject, into in zip(faces, subjects, out, strict=True):
            if side != len(face):
                face = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
            into[:] = face
            person = self._people.get(subject.state)
            if subject.mesh is None or person is None or person.paint is None:
                continue
            moved, amount, openings = self.moved(subject.mesh, person.offset)
            if amount > 0.0:
                paint = person.paint.at([
                    min(1.0, max(0.0, (wide - opening) / (wide - shut)))
                    for opening, (shut, wide) in zip(openings, SHUT, strict=True)
                ])
                paint_over(into, paint, self.model, moved, amount)
        return out

    def moved(self, mesh: Floats, offset: Floats) -> tuple[Floats, float, tuple[float, ...]]:
        """The new face's mesh where the old one was, how far it can be painted, 0 to 1, and the
        openings of mouth, right and left eye.

        Args:
            mesh: (468, 3) of the video's face, aligned units.
            offset: (468, 3) of the new face's shape.
        """
        model = self.model
        rotations, scales, shifts = mesh_measures.rigid(mesh[None], model.model.mean)
        turn = mesh_measures.direction_of(rotations[0]).turn
        amount = float(np.clip((WIDEST - turn) / (WIDEST - LEVEL), 0.0, 1.0))
        if not amount or not scales[0] > 1e-6:
            return mesh, 0.0, (1.0, 1.0, 1.0)
        aligned = ((mesh - shifts[0]) @ rotations[0] / scales[0]).astype(np.float32)
        expression = model.expression(aligned).clip(-MOST_EXPRESSION, MOST_EXPRESSION)
        new = model.model.mean + offset + np.float32(KEPT) * model.moved(expression)
        # Another shape may look as if it were turned; the turn is the video's.
        turned, size, shift = (part[0] for part in mesh_measures.rigid(new[None], model.model.mean))
        new = ((new - shift) @ turned / size).astype(np.float32)
        openings = self._openings.read(aligned)
        new = self._openings.set(new, openings)
        placed = scales[0] * new @ rotations[0].T + shifts[0]
        return placed.astype(np.float32), amount, openings

    def _resting(self, code: Floats) -> Floats:
        """How the face of a code (128,) looks at rest: coefficients of expression (6,)."""
        away = np.asarray(code, np.float32) - self.model.model.code_mean
        return np.asarray(np.clip(away @ self._rest, -2.0, 2.0), np.float32)

    def _light(self, face: Pixels, mesh: Floats) -> Floats:
        """Light on a drawing, and how much contrast it has: (7, 3), the last row the contrast."""
        side = len(face)
        soft = cv2.GaussianBlur(face, (0, 0), 2.0 * side / ALIGNED_SIDE)
        places = (mesh[:, :2] + 0.5) * (side / ALIGNED_SIDE) - 0.5
        x, y = np.ascontiguousarray(places.T, np.float32)
        border = cv2.BORDER_REPLICATE
        seen = cv2.remap(soft, x[:, None], y[:, None], cv2.INTER_LINEAR, borderMode=border)
        levels = np.log(seen.reshape(-1, 3).astype(np.float32) + np.float32(LEVELS))
        light = self._solve @ levels[self._vertices]
        left = (levels - self.model.vertex_basis @ light)[self._features]
        contrast = float(np.sqrt(np.square(left).mean())) / USUAL
        return np.vstack([light, np.full((1, 3), contrast)]).astype(np.float32)


def paint_over(face: Pixels, paint: Pixels, model: Morphable, mesh: Floats, amount: float) -> None:
    """Paint a texture over a face, in place.

    Args:
        face: (s, s, 3) uint8 over the aligned face space.
        paint: (192, 192, 4) uint8.
        model: whose raster the texture has.
        mesh: (468, 3) aligned units.
        amount: 0 to 1.
    """
    side = len(face)
    found = where(model, mesh)
    if found is None:
        return
    x, y, cover = (
        cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR) for plane in found
    )
    shown = cv2.remap(
        paint, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0)
    )
    share = cv2.multiply(
        cv2.extractChannel(shown, 3), np.ones(1), scale=amount / 255.0, dtype=cv2.CV_32F
    )
    share = cv2.min(share, cover)
    colours = cv2.cvtColor(shown, cv2.COLOR_RGBA2RGB)
    cv2.blendLinear(colours, face.copy(), share, 1.0 - share, dst=face)


@dataclass(frozen=True, slots=True, eq=False)
class _Texels:
    """Every other texel of every other row: a quarter of them is enough for the map.

    Attributes:
        corners: three times (k,), vertices of each texel's triangle.
        weights: three times (k, 1), barycentric.
        triangle: (k,).
        places: (2, k), x and y in the texture.
        counts: (m,) texels of each triangle, at least 1.
    """

    corners: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    weights: tuple[Floats, Floats, Floats]
    triangle: NDArray[np.int32]
    places: Floats
    counts: Floats


@lru_cache(maxsize=2)
def _texels(model: Morphable) -> _Texels:
    raster = model.raster
    y, x = np.nonzero(raster.inside)
    kept = (x % 2 == 0) & (y % 2 == 0)
    corners, weights = raster.corners[kept].astype(np.int64), raster.weights[kept]
    triangle = raster.triangle[kept]
    counts = np.bincount(triangle, minlength=len(topology().triangles))
    return _Texels(
        (corners[:, 0].copy(), corners[:, 1].copy(), corners[:, 2].copy()),
        (weights[:, :1].copy(), weights[:, 1:2].copy(), weights[:, 2:].copy()),
        triangle,
        np.stack([x[kept], y[kept]]).astype(np.float32),
        np.maximum(counts, 1).astype(np.float32),
    )


@lru_cache(maxsize=1)
def _corners() -> tuple[NDArray[np.int64], ...]:
    table = topology().triangles.astype(np.int64)
    return tuple(np.ascontiguousarray(table[:, k]) for k in range(3))


_ACROSS = np.array([[-0.5, 0.0, 0.5]], np.float32)


def where(model: Morphable, mesh: Floats) -> tuple[Floats, Floats, Floats] | None:
    """Which texel each place of the frame shows.

    Every texel is thrown to its place with the weight of the area it takes there; a place's texel
    is the weighted mean of those that fall near it. So a closed mouth, whose inside takes no
    area, shows lips; and what faces away takes none either.

    Returns:
        Three of (96, 96) float32: x and y in texels, and coverage from 0 to 1; None if nothing
        falls into the frame.
    """
    texels = _texels(model)
    step = np.float32(GRID / ALIGNED_SIDE)
    flat = (mesh[:, :2] + np.float32(0.5)) * step - np.float32(0.5)
    a, b, c = (flat[k] for k in _corners())
    u, v = b - a, c - a
    areas = np.float32(0.5) * (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])
    weight = (np.maximum(areas, np.float32(0.0)) / texels.counts)[texels.triangle]
    (i, j, k), (p, q, r) = texels.corners, texels.weights
    places: Floats = np.ascontiguousarray((flat[i] * p + flat[j] * q + flat[k] * r).T, np.float32)
    near = np.rint(places)
    inside = ((near >= 0.0) & (near < GRID)).all(axis=0)
    weight *= inside
    if not weight.any():
        return None
    off = places - near
    near = np.where(inside, near, 0.0).astype(np.int64)
    index = near[1] * GRID + near[0]
    sums = [weight, *(weight * texels.places), *(weight * off)]
    planes = [
        cv2.GaussianBlur(
            np.bincount(index, c, GRID * GRID).astype(np.float32).reshape(GRID, GRID),
            (5, 5), 0.75, borderType=cv2.BORDER_CONSTANT,
        )
        for c in sums
    ]  # fmt: skip
    mass = np.asarray(planes[0], np.float32)
    per = np.float32(1.0) / np.maximum(mass, np.float32(1e-6))
    x, y, aside, below = (np.asarray(plane, np.float32) * per for plane in planes[1:])
    # Texels are means over what lies near, not at the place itself: one step back along the map.
    found = []
    for plane in (x, y):
        change = cv2.filter2D(plane, -1, _ACROSS) * aside
        change += cv2.filter2D(plane, -1, _ACROSS.T) * below
        found.append(np.asarray(plane - np.clip(change, -2.0, 2.0), np.float32))
    cover = np.clip(mass * np.float32(2.0) - np.float32(0.6), 0.0, 1.0)
    return found[0], found[1], np.asarray(cover, np.float32)
