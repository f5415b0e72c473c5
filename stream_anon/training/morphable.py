"""A morphable face of our own: texture, identity and expression as few numbers, from the pack.

After Blanz & Vetter 1999 (A morphable model for the synthesis of 3D faces), with a mesh that a
network finds in place of scans. All of it is linear algebra:

- meshes are brought together by similarities in space (generalised Procrustes);
- *expression* is what varies between images of one person (sets whose file names tell people
  apart), *identity* what varies between people orthogonally to that;
- *texture* is a face unrolled by its mesh, in logarithms, divided by its light: by a
  polynomial of low order in the place on the face, a channel at a time. What is left says nothing
  of lamp or exposure, and little of tone; the rest of tone is regressed out and put back as the
  place asks for it;
- a *code* of the recogniser's space decides texture and identity by ridge regression. What the
  regression cannot foretell is filled up by a fixed projection of the same code, so that draws of
  the prior vary as much as people do.
"""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment import mesh_measures
from stream_anon.alignment.morphable import (
    TEXTURE,
    Arrays,
    Morphable,
    low_order,
    save,
    skin_vertices,
)
from stream_anon.alignment.topology import EYES, MOUTH, topology
from stream_anon.alignment.uv import Raster, rasterise, unroll
from stream_anon.training.data.pack import Pack
from stream_anon.training.morphable_shapes import (
    Shapes,
    components,
    low_pass_fit,
    people_of,
    settle,
    shape_bases,
    unrolled_places,
)

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Array = NDArray[np.float64]

PRESENCE = 0.9
"""Presence below which an image's mesh is not used."""

FRONTAL = 22.0
"""Turn in degrees up to which a face lends its texture."""

TEXTURES, MOUTHS = 72, 6
"""How many components are kept of each."""

LEVELS = 12.0
"""Added to levels before their logarithm: shadows are mostly noise."""

CLIP = 1.4
"""Logarithms of detail are held between plus and minus this."""

OPEN = 0.12
"""Opening of the mouth from which its inside is learned."""

LOOKING = 0.18
"""Opening of the eyes from which a face lends its texture."""

SHARP = 0.35
"""Share of the faces, the softest, that lend no texture."""

GLASSES = 0.15
"""Share of the faces, those with most structure about the eyes, that lend none: spectacles."""

SIDES = 14.0
"""Standard deviation in texels of what is coarse when the two sides are made alike."""

MOST = 6000
"""Faces whose textures are used."""

RIDGE = 0.02
"""Of the regression from codes, relative to the number of faces."""


def build(
    pack: Pack,
    meshes: NDArray[np.floating],
    presence: Floats,
    codes: Floats,
    prior: tuple[Floats, Floats],
    out: Path,
) -> Morphable:
    """Build the model and store it as ``out`` (npz), the mean mesh beside it as ``mesh_mean.npy``.

    Args:
        pack: the training faces.
        meshes: (n, 468, 3) in their pixels.
        presence: (n,).
        codes: (n, 128) unit codes.
        prior: mean (128,) and root (128, 128) of the public prior.
        out: file to write.
    """
    good = np.flatnonzero(presence > PRESENCE)
    shapes = settle(meshes[good])
    log.info("%d meshes", len(good))
    people = people_of(pack.names[good], pack.source[good])
    expression, moves, identity, sizes = shape_bases(shapes, people)
    mouths = mesh_measures.mouth_opening(shapes.aligned)
    eyes = mesh_measures.eye_opening(shapes.aligned)
    frontal = shapes.turns < FRONTAL
    wide = frontal & (mouths > np.quantile(mouths, 0.93)) & (eyes > np.quantile(eyes, 0.6))
    opened = shapes.aligned[wide].astype(np.float64).mean(axis=0)
    places = unrolled_places(shapes.mean, opened)
    raster = rasterise(places, topology().triangles, TEXTURE)
    basis = low_order(raster.at(shapes.mean))
    chosen, rows, light = _textures(pack, meshes, good, shapes, raster, basis, eyes)
    mouth = topology().kinds[raster.triangle] == MOUTH
    tone = light[:, 0] - light[:, 0].mean(axis=0)
    told = np.concatenate([np.ones((len(rows), 1), np.float32), tone], axis=1)
    log.info("%d textures of %d texels", len(rows), rows.shape[1])
    return _assemble(
        rows, told, light, mouth, mouths[chosen], codes[good], good, chosen, shapes, places,
        expression, moves, identity, sizes, prior, out,
    )  # fmt: skip


def _textures(
    pack: Pack,
    meshes: NDArray[np.floating],
    good: NDArray[np.int64],
    shapes: Shapes,
    raster: Raster,
    basis: Floats,
    eyes: Array,
) -> tuple[NDArray[np.int64], NDArray[np.floating], Floats]:
    """Which faces (of ``good``) lend a texture; detail (m, k*3) float16; light (m, b, 3)."""
    candidates = np.flatnonzero((shapes.turns < FRONTAL) & (eyes > LOOKING))
    sharpness = np.empty(len(candidates))
    seen = np.empty(len(candidates))
    for j, i in enumerate(candidates):
        grey = cv2.cvtColor(pack.images[good[i]], cv2.COLOR_RGB2GRAY)
        core = grey[50:105, 30:98]
        sharpness[j] = cv2.Laplacian(core, cv2.CV_32F).std() / max(float(core.std()), 4.0)
        x, y = np.rint(meshes[good[i], :, :2].T).astype(int)
        inside = (x >= 1) & (y >= 1) & (x < 127) & (y < 127)
        seen[j] = (inside & pack.valid[good[i]][y.clip(0, 127), x.clip(0, 127)]).mean()
    whole = seen > 0.995
    order = candidates[whole & (sharpness > np.quantile(sharpness[whole], SHARP))]
    chosen = np.sort(np.random.default_rng(3).permutation(order)[:MOST])
    # As it will be read at run time: off bare skin.
    skin = np.zeros((shapes.mean.shape[0], 1), np.float32)
    skin[skin_vertices(shapes.mean.astype(np.float32))] = 1.0
    weight = np.square(raster.at(skin)[:, 0])
    rows: NDArray[np.floating] = np.empty((len(chosen), len(basis) * 3), np.float16)
    light = np.empty((len(chosen), basis.shape[1], 3), np.float32)
    for j, i in enumerate(chosen):
        points = np.asarray(meshes[good[i]], np.float32)
        levels = np.log(unroll(pack.images[good[i]], points, raster) + np.float32(LEVELS))
        light[j] = low_pass_fit(levels, basis, weight)
        detail = np.clip(levels - basis @ light[j], -CLIP, CLIP)
        rows[j] = even_sided(detail, raster).ravel()
    bare = _bare(rows, raster)
    log.info("%d of %d wear no glasses", int(bare.sum()), len(bare))
    return chosen[bare], rows[bare], light[bare]


def even_sided(detail: Floats, raster: Raster) -> Floats:
    """Log detail (k, 3) whose coarse part is the same on both sides of the face.

    What differs is a lamp from the side, or hair, more often than a face.
    """
    image = np.zeros((*raster.inside.shape, 3), np.float32)
    image[raster.inside] = detail
    weight = cv2.GaussianBlur(raster.inside.astype(np.float32), (0, 0), SIDES)
    coarse = cv2.GaussianBlur(image, (0, 0), SIDES) / np.maximum(weight, 1e-3)[..., None]
    image += 0.5 * (coarse[:, ::-1] - coarse)
    return image[raster.inside]


def _bare(rows: NDArray[np.floating], raster: Raster) -> NDArray[np.bool_]:
    """Which textures (n, k*3) show little fine structure beneath and between the eyes."""
    places = np.stack(np.nonzero(raster.inside)[::-1], axis=1)
    side = raster.inside.shape[0]
    x, y = places[:, 0] / side - 0.5, places[:, 1] / side
    eyes = float(np.median(y[topology().kinds[raster.triangle] == EYES[0]]))
    under = (np.abs(np.abs(x) - 0.2) < 0.13) & (y > eyes + 0.06) & (y < eyes + 0.16)
    bridge = (np.abs(x) < 0.07) & (np.abs(y - eyes) < 0.08)
    where = under | bridge
    energy = np.empty(len(rows))
    image = np.zeros(raster.inside.shape, np.float32)
    for j, row in enumerate(rows):
        image[raster.inside] = row.reshape(-1, 3)[:, 1].astype(np.float32)
        fine = image - cv2.GaussianBlur(image, (0, 0), 5.0)
        energy[j] = np.abs(fine[raster.inside][where]).mean()
    return np.asarray(energy < np.quantile(energy, 1.0 - GLASSES))


def _assemble(
    rows: NDArray[np.floating],
    told: Floats,
    light: Floats,
    mouth: NDArray[np.bool_],
    mouths: Array,
    codes: Floats,
    good: NDArray[np.int64],
    chosen: NDArray[np.int64],
    shapes: Shapes,
    places: Floats,
    expression: Floats,
    moves: Floats,
    identity: Floats,
    sizes: Floats,
    prior: tuple[Floats, Floats],
    out: Path,
) -> Morphable:
    inside = np.repeat(mouth, 3)
    # Skin, and apart from it what is seen only where a mouth is open.
    solve = np.linalg.pinv(told)
    regress = (solve @ rows.astype(np.float32)).astype(np.float32)
    skin = rows.astype(np.float32) - told @ regress
    skin[:, inside] = 0.0
    texture, spread = components(skin, TEXTURES)
    amounts = skin @ texture.T
    left = skin - amounts @ texture
    grain = np.sqrt(np.square(left).reshape(len(left), -1, 3).mean(axis=(0, 2)))
    del skin, left
    wide = mouths > OPEN
    teeth = rows[wide].astype(np.float32)[:, inside]
    told_wide = told[wide]
    regress[:, inside] = np.linalg.pinv(told_wide) @ teeth
    teeth = teeth - told_wide @ regress[:, inside]
    inner, inner_spread = components(teeth, MOUTHS)
    log.info("%d open mouths", int(wide.sum()))
    # From codes to coefficients.
    figures = shapes.aligned[chosen].reshape(len(chosen), -1) - shapes.mean.ravel()
    known = np.concatenate([amounts / spread, figures @ identity.T / sizes], axis=1)
    known = known.astype(np.float64)
    x = codes[chosen].astype(np.float64)
    x = np.concatenate([x - prior[0], np.ones((len(x), 1))], axis=1)
    square = x.T @ x
    square += RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    guess = np.linalg.solve(square, x.T @ known)
    share = (x @ guess).var(axis=0) / known.var(axis=0)
    log.info("of texture %.2f, of identity %.2f foretold by the code",
             float(share[: len(spread)].mean()), float(share[len(spread) :].mean()))
    model = Arrays(
        mean=shapes.mean.astype(np.float32),
        expression=expression,
        expression_deviation=moves,
        identity=identity,
        identity_deviation=sizes,
        places=places,
        tone_mean=light[:, 0].mean(axis=0).astype(np.float32),
        regress=regress,
        texture=texture,
        texture_deviation=spread,
        grain=grain.astype(np.float32),
        mouth=inner,
        mouth_deviation=inner_spread,
        code_mean=np.asarray(prior[0], np.float32),
        code_to=guess.astype(np.float32),
        code_rest=rest(guess, prior, len(known[0])),
    )
    save(out, model)
    np.save(out.with_name("mesh_mean.npy"), shapes.mean.astype(np.float32))
    return Morphable(model)


def rest(guess: Array, prior: tuple[Floats, Floats], count: int) -> Floats:
    """What fills up the variance that a regression leaves: (128, count), a fixed projection.

    Draws of the prior, through ``guess`` and this together, have unit variance in each
    coefficient, as the training faces have.
    """
    rng = np.random.default_rng(11)
    mean, root = (np.asarray(p, np.float64) for p in prior)
    draws = mean + rng.standard_normal((4000, root.shape[1])) @ root.T
    draws /= np.linalg.norm(draws, axis=1, keepdims=True)
    centred = draws - mean
    lacking = np.sqrt(np.maximum(0.0, 1.0 - (centred @ guess[:-1]).var(axis=0)))
    basis, _ = components((centred - centred.mean(axis=0)).astype(np.float32), 44)
    scores = centred @ basis.T
    mix = rng.standard_normal((len(basis), count))
    mix /= (scores / scores.std(axis=0) @ mix).std(axis=0)
    return np.asarray((basis.T / scores.std(axis=0)) @ mix * lacking, np.float32)
