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
from dataclasses import dataclass, field

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
from stream_anon.geometry import ALIGNED_SIDE
from stream_anon.methods.base import Pixels, Subject
from stream_anon.methods.morph_paint import IRISES, Paint, Painter
from stream_anon.methods.morph_warp import painted
from stream_anon.methods.openings import Openings, lids
from stream_anon.track_state import Part

Floats = NDArray[np.float32]
Codes = NDArray[np.float32]

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

SHUT = ((0.03, 0.1), (0.13, 0.27), (0.13, 0.27))
"""Openings of mouth, right and left eye up to which they are painted closed, and from which they
are painted open. Between closed lips there is no room for what a map of 96 cells would show."""

BOWED = (6.0, 0.005)
"""Degrees below level from which a head is bowed, and by how much each further one closes the
eyes."""

NARROW = 0.2
"""Opening of a mouth over its width up to which less of it is seen than is painted."""

USUAL = 0.25
"""Root mean square of the features of a drawing in clear air, in log levels, as they are read."""

CONTRASTS = (0.5, 1.1)
"""Least and most contrast of a painting: haze and compression take it from faces as well."""

UNSEEN = 0.02
"""Change of a coefficient of the light, in log levels, for which nothing is painted anew."""

READ_FIRST, READ_EVERY = 2, 6
"""Drawings at the start of a track that the light is read for, and every so manieth after them."""

MIN_BLEND = 0.3
"""Share of a new reading of the light that is taken while there is an old one."""

SIDES = (128, 256, 384)
"""Sides of the faces that are handed on; the larger ones for close-ups."""

ENLARGED = (1.35, 2.4)
"""Frame pixels for one aligned unit from which the larger ones are used."""

TAKEN = (0.8, 0.3)
"""Share of the difference between where a new head was to look and where it is found to look that
is corrected, at first and later."""

MOST_TILT = 14.0
"""Degrees of yaw or pitch that are corrected at most."""

PRESENT = 0.5
"""Presence of a mesh on a new face from which it is believed."""

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
        drawn: how often the generator has drawn it.
        tilt: degrees of yaw and pitch by which its painting is turned further than the video's
            head: another shape, and other hair, look as if they were turned.
        judged: whether that was ever found out.
    """

    detail: Floats
    offset: Floats
    iris: int
    light: Floats | None = None
    painted: Floats | None = None
    paint: Paint | None = None
    drawn: int = 0
    tilt: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    judged: bool = False


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

    def unread(self, subjects: Sequence[Subject]) -> NDArray[np.bool_]:
        """Which subjects, about to be drawn, the light must be read for: (n,)."""
        due = np.zeros(len(subjects), np.bool_)
        for i, subject in enumerate(subjects):
            if subject.mesh is None:
                continue
            person = self._people.get(subject.state)
            due[i] = person is None or person.drawn < READ_FIRST or not person.drawn % READ_EVERY
            if person is not None:
                person.drawn += 1
        return due

    def drawings(self, subjects: Sequence[Subject]) -> Pixels:
        """What a generator starts from: (n, 128, 128, 4) uint8, RGB and how far it is painted."""
        out = np.zeros((len(subjects), ALIGNED_SIDE, ALIGNED_SIDE, 4), np.uint8)
        for subject, into in zip(subjects, out, strict=True):
            found = self._shown(subject, ALIGNED_SIDE)
            if found is not None:
                colours, share, _ = found
                into[..., :3] = colours
                into[..., 3] = np.rint(255.0 * share)
        return out

    def _shown(self, subject: Subject, side: int) -> tuple[Pixels, Floats, Floats] | None:
        """A subject's painting, as of ``painted``, and its lids; None where there is none."""
        person = self._people.get(subject.state)
        if subject.mesh is None or person is None or person.paint is None:
            return None
        moved, amount, openings = self.moved(subject.mesh, person.offset, person.tilt)
        if not amount > 0.0:
            return None
        closed = self.closed(openings)
        found = painted(person.paint.at(closed), self.model, moved, amount, side)
        return None if found is None else (*found, lids(moved, closed[1:], side))

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
                person = _Person(*self.person(code))
                self._people.put(subject.state, person)
            # Where the new face will be: where its vertices lie, nothing of the old one's shape.
            placed, amount, _ = self.moved(subject.mesh, person.offset, person.tilt)
            if not amount and person.light is not None:
                continue
            light = self.light(face, placed)
            if person.light is not None:
                light = person.light + MIN_BLEND * (light - person.light)
            person.light = light
            if person.painted is None or np.abs(light - person.painted).max() > UNSEEN:
                person.paint = self.paint(person.detail, light, person.iris)
                person.painted = light

    def __call__(
        self, faces: Pixels, subjects: Sequence[Subject], scale: float, share: float = 1.0
    ) -> Pixels:
        """Paint.

        Args:
            faces: (n, s, s, 3) uint8, the generator's drawings.
            subjects: n of them.
            scale: frame pixels for one aligned unit, of the largest of them.
            share: of the painting, where it stands, over the drawing.

        Returns:
            (n, t, t, 3) uint8; t is 256 for close-ups.
        """
        side = SIDES[sum(scale > limit for limit in ENLARGED)]
        out = np.empty((len(faces), side, side, 3), np.uint8)
        for face, subject, into in zip(faces, subjects, out, strict=True):
            if side != len(face):
                face = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
            into[:] = face
            found = self._shown(subject, side)
            if found is not None:
                colours, there, shut = found
                # A drawing's eyes are open: where they are shut the painting alone is shown.
                there = there * np.maximum(np.float32(share), shut)
                cv2.blendLinear(colours, face, there, 1.0 - there, dst=into)
        return out

    def outline(self, subject: Subject, least: float) -> tuple[Floats, float] | None:
        """Points (468, 3) of a new face that is turned to a side by more than ``least`` degrees,
        and its yaw; None of others."""
        person = self._people.get(subject.state)
        if subject.mesh is None or person is None:
            return None
        yaw = mesh_measures.direction(subject.mesh).yaw
        if abs(yaw) <= least:
            return None
        moved, amount, _ = self.moved(subject.mesh, person.offset, person.tilt)
        return (moved, yaw) if amount > 0.0 else None

    def correct(
        self, found: Floats, presence: Floats, subjects: Sequence[Subject]
    ) -> None:
        """Turn the paintings of new faces so that they look where the video's heads do.

        Args:
            found: (n, 468, 3) meshes found in the new faces, aligned units.
            presence: (n,) of them; those that show none are passed over.
            subjects: n of them.
        """
        mean = self.model.model.mean
        for points, sure, subject in zip(found, presence, subjects, strict=True):
            person = self._people.get(subject.state)
            if subject.mesh is None or person is None or not sure >= PRESENT:
                continue
            both = mesh_measures.rigid(np.stack([subject.mesh, points]), mean)[0]
            wanted, shown = (mesh_measures.direction_of(rotation) for rotation in both)
            if wanted.turn > LEVEL:
                continue
            missed = np.array([wanted.yaw - shown.yaw, wanted.pitch - shown.pitch])
            tilt = person.tilt + TAKEN[person.judged] * missed
            person.tilt = tilt.clip(-MOST_TILT, MOST_TILT)
            person.judged = True

    def moved(
        self, mesh: Floats, offset: Floats, tilt: NDArray[np.float64] | None = None
    ) -> tuple[Floats, float, tuple[float, ...]]:
        """The new face's mesh where the old one was, how far it can be painted, 0 to 1, and the
        openings of mouth, right and left eye.

        Args:
            mesh: (468, 3) of the video's face, aligned units.
            offset: (468, 3) of the new face's shape.
            tilt: degrees of yaw and pitch by which it is turned further.
        """
        model = self.model
        rotations, scales, shifts = mesh_measures.rigid(mesh[None], model.model.mean)
        looks = mesh_measures.direction_of(rotations[0])
        turn = looks.turn
        amount = float(np.clip((WIDEST - turn) / (WIDEST - LEVEL), 0.0, 1.0))
        if not amount or not scales[0] > 1e-6:
            return mesh, 0.0, (1.0, 1.0, 1.0)
        aligned = ((mesh - shifts[0]) @ rotations[0] / scales[0]).astype(np.float32)
        expression = model.expression(aligned).clip(-MOST_EXPRESSION, MOST_EXPRESSION)
        new = model.model.mean + offset + np.float32(KEPT) * model.moved(expression)
        # Another shape may look as if it were turned; the turn is the video's.
        turned, size, shift = (part[0] for part in mesh_measures.rigid(new[None], model.model.mean))
        new = ((new - shift) @ turned / size).astype(np.float32)
        mouth, *eyes = self._openings.read(aligned)
        eyes = [bowed_eye(eye, looks.pitch) for eye in eyes]
        openings = (mouth, *eyes)
        new = self._openings.set(new, (shown_mouth(mouth), *(shown_eye(eye) for eye in eyes)))
        rotation = rotations[0] if tilt is None else tilted(rotations[0], tilt)
        placed = scales[0] * new @ rotation.T + shifts[0]
        return placed.astype(np.float32), amount, openings

    def _resting(self, code: Floats) -> Floats:
        """How the face of a code (128,) looks at rest: coefficients of expression (6,)."""
        away = np.asarray(code, np.float32) - self.model.model.code_mean
        return np.asarray(np.clip(away @ self._rest, -2.0, 2.0), np.float32)

    def person(self, code: Floats) -> tuple[Floats, Floats, int]:
        """What a unit code (128,) decides: log detail of the texture (k, 3), offsets of the shape
        (468, 3), and the number of the irises' colour."""
        texture, identity = self.model.coefficients(code)
        offset = self.model.shape(np.clip(identity, -2.5, 2.5) * SHAPE)
        offset = offset + self.model.moved(REST * self._resting(code))
        iris = int(np.floor(abs(float(code[:8].sum())) * 997.0)) % len(IRISES)
        return self.model.texture(np.clip(texture, -1.8, 1.8) * SPREAD), offset, iris

    def paint(self, detail: Floats, light: Floats, iris: int) -> Paint:
        """A texture of ``person`` in a light of ``light``."""
        contrast = float(np.clip(light[-1, 0], *CONTRASTS))
        return self._painter(detail, light[:-1], iris, contrast)

    @staticmethod
    def closed(openings: Sequence[float]) -> list[float]:
        """How far mouth, right and left eye are painted closed, 0 to 1, at these openings."""
        return [
            min(1.0, max(0.0, (wide - opening) / (wide - shut)))
            for opening, (shut, wide) in zip(openings, SHUT, strict=True)
        ]

    def light(self, face: Pixels, mesh: Floats) -> Floats:
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


def shown_mouth(opening: float) -> float:
    """How far a mouth is painted open for it to be seen as far open as asked.

    A gap of a few pixels is closed again by the map and by the filter that draws it.
    """
    return opening * (1.0 + float(np.exp(-opening / NARROW)))


def shown_eye(opening: float) -> float:
    """Likewise an eye, whose lids' dark edges make it look open: 0.35 is open, 0.2 nearly shut."""
    return max(0.0, min(opening, 1.5 * opening - 0.17))


def bowed_eye(opening: float, pitch: float) -> float:
    """How far open an eye is taken to be in a head that is bowed by ``pitch`` degrees below level.

    Who bows the head looks down, and of lowered lids a mesh is fitted to the lashes and their
    shadow: where nothing is seen of an eye it still finds 0.2 to 0.25.
    """
    return max(0.0, opening - BOWED[1] * max(0.0, -pitch - BOWED[0]))


def tilted(rotation: NDArray[np.float64], tilt: NDArray[np.float64]) -> NDArray[np.float64]:
    """A rotation (3, 3) that looks ``tilt`` degrees of yaw and pitch further."""
    if not tilt.any():
        return rotation
    known = mesh_measures.direction_of(rotation)
    yaw, pitch = np.radians([known.yaw + tilt[0], known.pitch + tilt[1]])
    # As ``direction_of`` reads it: the axis points away from the camera.
    wanted = -np.array([np.cos(pitch) * np.sin(yaw), -np.sin(pitch), -np.cos(pitch) * np.cos(yaw)])
    axis = np.cross(rotation[:, 2], wanted)
    cosine = float(rotation[:, 2] @ wanted)
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # The smallest turn that takes one to the other (Rodrigues).
    turn = np.eye(3) + cross + cross @ cross / (1.0 + cosine)
    return np.asarray(turn @ rotation)
