"""The morphable face at run time: a code to a texture and a shape, light put on, NumPy only.

Built by ``stream_anon.training.morphable`` (which says how); one file of weights.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.mesh_measures import five as five_of
from stream_anon.alignment.topology import (
    MOUTH,
    OVAL,
    POINTS,
    topology,
)
from stream_anon.alignment.uv import Raster, rasterise
from stream_anon.errors import ModelError
from stream_anon.models import WEIGHTS

Floats = NDArray[np.float32]

NAME = "morphable"

TEXTURE = 192
"""Side of a texture in texels."""

COARSE = 6
"""Expressions that are used: finer ones say who somebody is."""

LEVELS = 12.0
"""Added to levels before their logarithm, here and in training."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """The model's arrays, float32; k texels, rows of detail are (k*3,) in logarithms.

    Attributes:
        mean: (468, 3) mean mesh, aligned units.
        expression: (24, 1404) orthonormal. expression_deviation: (24,).
        identity: (40, 1404) orthonormal, orthogonal to the first expressions.
            identity_deviation: (40,).
        places: (468, 2) of each vertex in the texture.
        tone_mean: (3,) mean log level of skin.
        regress: (4, k*3) mean detail, and how it changes with tone.
        texture: (72, k*3). texture_deviation: (72,).
        grain: (k,) deviation of what the components leave.
        mouth: (6, j*3) over the texels between the lips. mouth_deviation: (6,).
        code_mean: (128,). code_to: (129, 112). code_rest: (128, 112): to texture, then identity.
    """

    mean: Floats
    expression: Floats
    expression_deviation: Floats
    identity: Floats
    identity_deviation: Floats
    places: Floats
    tone_mean: Floats
    regress: Floats
    texture: Floats
    texture_deviation: Floats
    grain: Floats
    mouth: Floats
    mouth_deviation: Floats
    code_mean: Floats
    code_to: Floats
    code_rest: Floats


_BYTES = ("texture", "mouth", "regress")
"""Arrays that are stored in 8 bits, with a scale for each row."""


def save(path: Path, model: Arrays) -> None:
    """Write the model: wide arrays in 8 bits, others in half precision."""
    stored: dict[str, NDArray[np.generic]] = {}
    for field in fields(model):
        array = getattr(model, field.name)
        if field.name in _BYTES:
            scale = np.abs(array).max(axis=1) / 127.0
            stored[field.name] = np.rint(array / scale[:, None]).astype(np.int8)
            stored[f"{field.name}_scale"] = scale.astype(np.float32)
        else:
            stored[field.name] = array.astype(np.float32)
    np.savez_compressed(path, **stored)  # type: ignore[arg-type]


@cache
def load(path: Path | None = None) -> Morphable:
    """The model that ships, or that of ``path``.

    Raises:
        ModelError: it is missing.
    """
    file = WEIGHTS / f"{NAME}.npz" if path is None else path
    if not file.exists():
        raise ModelError(f"the morphable face is missing: {file}")
    with np.load(file) as stored:
        arrays = {}
        for field in fields(Arrays):
            array = stored[field.name].astype(np.float32)
            if field.name in _BYTES:
                array *= stored[f"{field.name}_scale"][:, None]
            arrays[field.name] = array
    return Morphable(Arrays(**arrays))


def low_order(points: Floats) -> Floats:
    """Polynomials of places (k, 3) on the mean face, up to the second order: (k, 6).

    Light that falls on a face, as far as it is smooth. In the normals (Basri & Jacobs 2003) a
    fit takes the sides of the nose, which few points tell of, for lamps.
    """
    x, y = np.asarray(points, np.float32).T[:2] / np.float32(40.0)
    one = np.ones_like(x)
    third = np.float32(1.0 / 3.0)
    # All but the first are about 0 on the mean, so that the first is the tone.
    return np.stack([one, x, y, x * x - third, x * y, y * y - third], axis=1).astype(np.float32)


class Morphable:
    """The model, ready to draw.

    Args:
        model: its arrays.
    """

    def __init__(self, model: Arrays) -> None:
        self.model = model
        self.raster: Raster = rasterise(model.places, topology().triangles, TEXTURE)
        self.vertex_basis = low_order(model.mean)
        self.basis = low_order(self.raster.at(model.mean))
        self.between = topology().kinds[self.raster.triangle] == MOUTH

    def coefficients(self, code: Floats) -> tuple[Floats, Floats]:
        """A unit code (128,) to coefficients of texture (72,) and identity (40,), of unit size."""
        m = self.model
        x = np.asarray(code, np.float32) - m.code_mean
        found = x @ m.code_to[:-1] + m.code_to[-1] + x @ m.code_rest
        count = len(m.texture_deviation)
        return found[:count], found[count:]

    def texture(self, texture: Floats, mouth: Floats | None = None) -> Floats:
        """Log detail (k, 3) of coefficients (72,), and (6,) of the mouth's inside."""
        m = self.model
        rows = ((texture * m.texture_deviation) @ m.texture).reshape(-1, 3)
        if mouth is not None:
            rows[self.between] += ((mouth * m.mouth_deviation) @ m.mouth).reshape(-1, 3)
        return np.asarray(rows, np.float32)

    def told(self, tone: Floats) -> Floats:
        """Mean log detail (k, 3) of faces whose skin has the log level ``tone`` (3,)."""
        m = self.model
        told = np.concatenate([[1.0], np.asarray(tone) - m.tone_mean]).astype(np.float32)
        return np.asarray((told @ m.regress).reshape(-1, 3), np.float32)

    def image(self, rows: Floats) -> Floats:
        """Rows (k, c) as a texture (192, 192, c); outside the mesh the nearest texel."""
        side = self.raster.inside.shape[0]
        out = np.zeros((side, side, rows.shape[1]), np.float32)
        out[self.raster.inside] = rows
        return np.asarray(out.reshape(-1, rows.shape[1])[_nearest(self.raster)].reshape(out.shape))

    def shape(self, identity: Floats) -> Floats:
        """Offsets (468, 3) of coefficients of identity (40,)."""
        m = self.model
        rows = (identity * m.identity_deviation) @ m.identity
        return np.asarray(rows.reshape(POINTS, 3), np.float32)

    def expression(self, aligned: Floats) -> Floats:
        """The widest coefficients (6,), in units of their deviation, of an aligned mesh.

        Finer ones say who somebody is, too.
        """
        m = self.model
        away = (aligned - m.mean).reshape(-1)
        found = (m.expression[:COARSE] @ away) / m.expression_deviation[:COARSE]
        return np.asarray(found, np.float32)

    def moved(self, expression: Floats) -> Floats:
        """Offsets (468, 3) of coefficients of expression (6,)."""
        m = self.model
        rows = (expression * m.expression_deviation[:COARSE]) @ m.expression[:COARSE]
        return np.asarray(rows.reshape(POINTS, 3), np.float32)


def skin_vertices(mean: Floats) -> NDArray[np.int64]:
    """Vertices of bare skin, by which light is read: no eye, brow, lip or nostril, no rim."""
    five = five_of(mean[None])[0]
    x, y = mean[:, 0], mean[:, 1]
    eyes = np.zeros(len(mean), np.bool_)
    for ex, ey in five[:2]:
        eyes |= (np.abs(x - ex) < 13.0) & (y > ey - 13.0) & (y < ey + 5.0)
    mouth = (np.abs(x) < 17.0) & (np.abs(y - five[3:, 1].mean()) < 8.0)
    nose = np.hypot(x - five[2, 0], y - five[2, 1] - 4.0) < 6.0
    rim = np.zeros(len(mean), np.bool_)
    rim[list(OVAL)] = True
    return np.flatnonzero(~(eyes | mouth | nose | rim))


def feature_vertices(mean: Floats) -> NDArray[np.int64]:
    """Vertices of eyes, brows and mouth, by which a drawing's contrast is read."""
    five = five_of(mean[None])[0]
    x, y = mean[:, 0], mean[:, 1]
    features = (np.abs(x) < 15.0) & (np.abs(y - five[3:, 1].mean()) < 6.0)
    for ex, ey in five[:2]:
        features |= (np.abs(x - ex) < 12.0) & (y > ey - 11.0) & (y < ey + 4.0)
    return np.flatnonzero(features)


_kept: dict[int, NDArray[np.int64]] = {}


def _nearest(raster: Raster) -> NDArray[np.int64]:
    """For each texel the number of the nearest that the mesh covers: (s*s,)."""
    key = id(raster)
    if key not in _kept:
        outside = (~raster.inside).astype(np.uint8)
        _, labels = cv2.distanceTransformWithLabels(
            outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        covered = np.flatnonzero(raster.inside.ravel())
        lookup = np.zeros(int(labels.max()) + 1, np.int64)
        lookup[labels.ravel()[covered]] = covered
        _kept[key] = lookup[labels.ravel()]
    return _kept[key]
