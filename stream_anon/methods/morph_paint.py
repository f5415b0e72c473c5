"""Textures to be warped: skin of a code and a light, with eyes, a closed mouth and pores.

Components of many faces' textures say where skin ends and lips begin, but no pupil is ever at the
same texel twice, so eyes come out veiled: iris, pupil and the lamp's reflection are drawn. What
the components leave is put back as noise of the same strength, fixed to the skin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.morphable import LEVELS, TEXTURE, Morphable
from stream_anon.alignment.topology import EYES, LEFT_EYE, MOUTH, RIGHT_EYE, topology

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

IRISES = np.array(
    [(58, 38, 26), (74, 50, 32), (46, 32, 24), (92, 70, 44), (84, 92, 96), (66, 78, 70)],
    np.float32,
)
"""Colours of irises in the light of a skin of 160 levels; brown ones are the common ones."""

IRIS = 0.235
"""Radius of an iris over the width of its eye."""

PORES = 0.22
"""Share of what the components leave that is put back."""

RIM = 4
"""Texels of lip about the opening that a closed mouth does not show as they are."""

FEATHER = 0.11
"""Width of the painting's soft edge, as a share of the texture's side."""


Patch = tuple[slice, slice, Pixels]


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """A texture with its soft edge as fourth channel, and what closes its mouth and eyes.

    Attributes:
        open: (192, 192, 4) uint8.
        closed: rows, columns and texels of the mouth, the right and the left eye, closed.
    """

    open: Pixels
    closed: tuple[Patch, ...]

    def at(self, shares: Sequence[float]) -> Pixels:
        """The texture with mouth, right and left eye closed by these shares, 0 to 1."""
        if not any(shares):
            return self.open
        out = self.open.copy()
        for share, (rows, columns, patch) in zip(shares, self.closed, strict=True):
            if share > 0.0:
                part = out[rows, columns]
                part[:] = cv2.addWeighted(patch, share, part, 1.0 - share, 0.0)
        return out


class Painter:
    """Paints textures.

    Args:
        model: whose texels they are.
    """

    def __init__(self, model: Morphable) -> None:
        self.model = model
        self.edge = soft_edge(model)
        self._eyes = [_Eye(model, *pair) for pair in zip((RIGHT_EYE, LEFT_EYE), EYES, strict=True)]
        lips = _Lid(model, (MOUTH,), RIM, 0.62, from_above=False)
        lids = [_Lid(model, (kind,), 0, 0.55, from_above=True) for kind in EYES]
        self._closers = (lips, *lids)
        self._pores = _pores(model)

    def __call__(
        self, detail: Floats, light: Floats, iris: int, contrast: float = 1.0
    ) -> Paint:
        """Paint.

        Args:
            detail: (k, 3) of its texture.
            light: (6, 3) of log levels.
            iris: number of its colour.
            contrast: 1 as in clear air.
        """
        model = self.model
        rows = model.told(light[0])
        rows += detail
        rows += self._pores[:, None]
        rows *= np.float32(contrast)
        rows += model.basis @ light
        colours = np.clip(cv2.exp(rows) - np.float32(LEVELS), 0.0, 255.0)
        skin = np.clip(np.exp(light[0]) - LEVELS, 4.0, 255.0).astype(np.float32)
        for eye in self._eyes:
            eye.draw(colours, skin, IRISES[iris % len(IRISES)], min(1.0, contrast))
        whole = self._whole(colours)
        closed = tuple(self._patch(closer, colours) for closer in self._closers)
        return Paint(whole, closed)

    def _patch(self, closer: _Lid, colours: Floats) -> Patch:
        shut = colours.copy()
        shut[closer.rows] = colours[closer.source] * closer.dark[:, None]
        frame = np.empty((TEXTURE, TEXTURE, 4), np.uint8)
        frame[self.model.raster.inside, :3] = shut
        frame[..., 3] = self.edge
        return closer.where[0], closer.where[1], frame[closer.where].copy()

    def _whole(self, colours: Floats) -> Pixels:
        out = np.empty((TEXTURE, TEXTURE, 4), np.uint8)
        out[..., :3] = self.model.image(colours)
        out[..., 3] = self.edge
        return out


class _Eye:
    """Where an eye's texels lie, and what is drawn over them."""

    def __init__(
        self, model: Morphable, contours: tuple[tuple[int, ...], tuple[int, ...]], kind: int
    ) -> None:
        places = model.model.places
        rows = np.flatnonzero(topology().kinds[model.raster.triangle] == kind)
        y, x = (axis[rows] for axis in np.nonzero(model.raster.inside))
        upper, lower = (places[list(side)] for side in contours)
        width = float(np.linalg.norm(upper[0] - upper[-1]))
        top, bottom = float(upper[:, 1].min()), float(lower[:, 1].max())
        middle = (upper[0] + upper[-1]) / 2.0
        centre = np.array([middle[0], 0.58 * top + 0.42 * bottom])
        radius = IRIS * width
        away = np.hypot(x - centre[0], y - centre[1])
        self._rows = rows
        self._iris = np.clip(radius - away + 0.5, 0.0, 1.0).astype(np.float32)[:, None]
        self._pupil = np.clip(0.42 * radius - away + 0.5, 0.0, 1.0).astype(np.float32)[:, None]
        ring = np.exp(-np.square((away - 0.95 * radius) / (0.16 * radius)))
        self._limbus = (1.0 - 0.55 * ring).astype(np.float32)[:, None]
        spot = np.hypot(x - centre[0] + 0.32 * radius, y - centre[1] + 0.38 * radius)
        self._spot = np.clip(0.26 * radius - spot + 0.6, 0.0, 1.0).astype(np.float32)[:, None]
        # Upper lid and corners lie in shadow.
        down = np.clip((y - top) / max(bottom - top, 1.0), 0.0, 1.0)
        across = np.clip(1.0 - np.square((x - middle[0]) / (0.62 * width)), 0.0, 1.0)
        shade = (0.55 + 0.45 * np.sqrt(down)) * (0.6 + 0.4 * across)
        self._shade = shade.astype(np.float32)[:, None]

    def draw(self, colours: Floats, skin: Floats, iris: Floats, contrast: float) -> None:
        """Over rows (k, 3) of levels, in place."""
        level = float(skin @ np.array([0.299, 0.587, 0.114], np.float32))
        white = (0.35 * skin + 0.65 * level) * np.float32(1.02) * self._shade
        shown = 0.35 * colours[self._rows] + 0.65 * white
        coloured = iris * np.float32(level / 160.0) * self._limbus * (0.5 + 0.5 * self._shade)
        shown += self._iris * (coloured - shown)
        shown *= 1.0 - 0.8 * self._pupil
        shown += 0.8 * self._spot * (np.minimum(1.35 * level, 245.0) - shown)
        shown = level + contrast * (shown - level)
        colours[self._rows] = np.clip(shown, 0.0, 255.0)


def soft_edge(model: Morphable) -> Pixels:
    """How far each texel is painted: (192, 192) uint8, 0 at the mesh's rim and outside."""
    inside = np.zeros((TEXTURE + 2, TEXTURE + 2), np.uint8)
    inside[1:-1, 1:-1] = model.raster.inside
    # Holes that no triangle fills are inside the face.
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(inside, contours, -1, 1, cv2.FILLED)
    away = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
    way = np.clip((away - 2.0) / (FEATHER * TEXTURE), 0.0, 1.0)
    return np.asarray(np.rint(255.0 * way * way * (3.0 - 2.0 * way)), np.uint8)


class _Lid:
    """What a closed mouth's or eye's texels show: the skin beside them, and a dark line.

    Args:
        model: whose texels.
        kinds: of triangles that are closed.
        rim: texels about them that are painted over as well: on the inner rim of most textures'
            lips a tooth shines.
        depth: how dark the line is, 0 to 1.
        from_above: an upper lid comes down over all of an eye, and the line is at its lower end;
            lips meet in the middle.

    Attributes:
        rows: of texels that change. source: rows they repeat. dark: factors.
        where: rows and columns of the texture that hold them.
    """

    def __init__(
        self, model: Morphable, kinds: tuple[int, ...], rim: int, depth: float, *, from_above: bool
    ) -> None:
        side, inside = TEXTURE, model.raster.inside
        numbers = np.full((side, side), -1, np.int64)
        numbers[inside] = np.arange(int(inside.sum()))
        hole = np.zeros((side, side), np.uint8)
        hole[inside] = np.isin(topology().kinds[model.raster.triangle], kinds)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * rim + 1, 2 * rim + 1))
        zone = cv2.dilate(hole, kernel) * inside.astype(np.uint8)
        here = zone > 0
        _, labels = cv2.distanceTransformWithLabels(
            zone, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        beside = (zone == 0) & inside
        lookup = np.zeros(int(labels.max()) + 1, np.int64)
        lookup[labels[beside]] = numbers[beside]
        y, x = np.nonzero(here)
        if from_above:
            top = np.array([np.flatnonzero(zone[:, c])[0] for c in x])
            bottom = np.array([np.flatnonzero(zone[:, c])[-1] for c in x])
            # Skin from as far above the lid's edge as the texel lies below it.
            above = np.clip(top - 4 - (y - top) // 4, 0, side - 1)
            self.source = numbers[above, x]
            way = (y - top) / np.maximum(bottom - top, 1)
            line = np.exp(-np.square((1.0 - way) / 0.22))
        else:
            self.source = lookup[labels[here]]
            away = cv2.distanceTransform(hole, cv2.DIST_L2, 5)[here]
            line = np.sqrt(away / max(float(away.max()), 1.0))
        self.rows = numbers[here]
        self.dark = np.asarray(1.0 - depth * line, np.float32)
        self.where = (slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1))


def _pores(model: Morphable) -> Floats:
    """Fine noise of log levels (k,), the same for everybody, as strong as on real skin."""
    noise = np.random.default_rng(0).standard_normal((TEXTURE, TEXTURE)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), 0.6) - cv2.GaussianBlur(noise, (0, 0), 2.0)
    noise /= noise.std()
    rows = noise[model.raster.inside] * np.minimum(model.model.grain, 0.12) * np.float32(PORES)
    rows[topology().kinds[model.raster.triangle] > 0] *= 0.3
    return rows
