"""What anonymised stills are still good for: found, aligned, posed, and of the same population."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_anon.evaluation import scores
from stream_anon.evaluation.data.condition import CLEAR, Condition
from stream_anon.evaluation.data.finder import FACE_SIDE, Finder
from stream_anon.evaluation.data.stills import anonymise
from stream_anon.evaluation.measures import face_shape
from stream_anon.evaluation.measures.privacy_table import label
from stream_anon.evaluation.measures.verification import VerificationBench
from stream_anon.evaluation.reporting.report import Cell, Column, Section, Sheet, Table

Pixels = NDArray[np.uint8]

SIDES = (24.0, 40.0, 64.0, FACE_SIDE)
"""Sides in pixels of the face's box at which a detector is asked."""


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What a detector says of some images at one size.

    Attributes:
        found: (n,) bool.
        points: (n, 5, 2) landmarks in aligned units, NaN where there are none.
    """

    found: NDArray[np.bool_]
    points: NDArray[np.float64]


def look(finder: Finder, images: Pixels, side: float) -> Looked:
    """Show images to a detector with their faces at ``side`` pixels."""
    found = np.zeros(len(images), np.bool_)
    points = np.full((len(images), 5, 2), np.nan)
    for i, image in enumerate(images):
        face = finder.aligned(image, side)
        found[i] = face is not None
        if face is not None and face.landmarks is not None:
            points[i] = face.landmarks
    return Looked(found, points)


def utility(
    verification: VerificationBench,
    index: NDArray[np.int64],
    conditions: Sequence[Condition],
    finders: Sequence[Finder],
    tell: Callable[[str], None],
) -> tuple[Section, dict[str, Pixels]]:
    """Detection, landmarks, pose and Frechet distance on stills.

    Args:
        verification: the set and the attackers.
        index: rows of the set that are measured.
        conditions: to be measured.
        finders: detectors; landmarks are those of the first.
        tell: hears what is being done.

    Returns:
        The section, and the images by condition for what else is measured on them.
    """
    clear = verification.faces.images(index)
    images: dict[str, Pixels] = {CLEAR: clear}
    found = Table(
        "Faces found again, of those that are found in the clear",
        [Column("condition"), Column("detector")]
        + [Column(f"{side:.0f} px %", "percent") for side in SIDES],
    )
    shape = Table(
        "Landmarks and pose against the original",
        [
            Column("condition"),
            Column("landmark error", "number"),
            Column("within 0.1 %", "percent"),
            Column("roll, degrees", "number"),
            *(Column(f"{name} r", "number") for name in face_shape.PROXIES),
        ],
        note="Error of five landmarks in interocular distances, where both faces are found at "
        f"{FACE_SIDE:.0f} px; mean absolute difference of roll; r: correlation over the images "
        "of what five landmarks tell of pose and mouth. The clear row looks at the same "
        "images with faces at 64 px: the detector's own repeatability.",
    )
    frechet = Table(
        "Frechet distance to the clear set",
        [Column("condition")] + [Column(a.name, "number") for a in verification.attackers],
        note="Of unit embeddings, times 1000. The clear row compares two halves of the set: what "
        "the number of images alone gives. It measures likeness to the population of the set.",
    )
    reference = {
        (finder.name, side): look(finder, clear, side) for finder in finders for side in SIDES
    }
    base = reference[finders[0].name, FACE_SIDE]
    for condition in [Condition(CLEAR), *conditions]:
        tell(f"utility: {condition}")
        name = str(condition)
        if condition.method != CLEAR:
            method = condition.build()
            try:
                images[name] = anonymise(method, clear, verification.landmarks[index]).images
            finally:
                method.close()
        new = images[name]
        looked: dict[float, Looked] = {}
        for finder in finders:
            cells: list[Cell] = []
            for side in SIDES:
                there = reference[finder.name, side].found
                if condition.method == CLEAR:
                    cells.append(scores.share(int(there.sum()), len(there)))
                    continue
                seen = look(finder, new, side)
                if finder is finders[0]:
                    looked[side] = seen
                hits = int((seen.found & there).sum())
                cells.append(scores.share(hits, int(there.sum())) if there.any() else None)
            found.add(label(condition), finder.name, *cells)
        other = reference[finders[0].name, 64.0] if condition.method == CLEAR else looked[FACE_SIDE]
        shape.add(label(condition), *_shape(base.points, other.points))
        frechet.add(
            label(condition), *_frechets(verification, clear, new, condition.method == CLEAR)
        )
    found.note = "The clear row is the share found in the clear, of all."
    section = Section(
        "utility",
        "Utility of stills",
        f"{len(index)} images of the set, shown on a grey canvas with the face's box scaled to "
        "several sizes.",
        [found, shape, frechet],
    )
    section.sheets.append(_sheet(images, conditions))
    return section, images


def _shape(points: NDArray[np.float64], other: NDArray[np.float64]) -> list[Cell]:
    both = np.isfinite(points).all((1, 2)) & np.isfinite(other).all((1, 2))
    if both.sum() < 3:
        return [None] * (3 + len(face_shape.PROXIES))
    error = face_shape.landmark_error(points[both], other[both])
    a, b = face_shape.proxies(points[both]), face_shape.proxies(other[both])
    cells: list[Cell] = [scores.mean(error), scores.share(int((error < 0.1).sum()), len(error))]
    cells.append(float(np.abs(a[:, 0] - b[:, 0]).mean()))
    cells += [face_shape.correlation(a[:, i], b[:, i]) for i in range(a.shape[1])]
    return cells


def _frechets(
    verification: VerificationBench, clear: Pixels, new: Pixels, halves: bool
) -> list[Cell]:
    cells: list[Cell] = []
    for attacker in verification.attackers:
        a = attacker.embed(clear)
        if halves:
            cells.append(1e3 * frechet_distance(a[::2], a[1::2]))
        else:
            cells.append(1e3 * frechet_distance(a, attacker.embed(new)))
    return cells


def frechet_distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Frechet distance between Gaussians fitted to two sets of embeddings.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)); Heusel et al., NeurIPS 2017.

    Args:
        a: (n, d), n >= 2.
        b: (m, d), m >= 2.

    Raises:
        ValueError: too few rows, or other dimensions.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"two tables of embeddings are wanted, got {a.shape} and {b.shape}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    ca, cb = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(np.atleast_2d(ca))
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    # The eigenvalues of C_a^(1/2) C_b C_a^(1/2) are those of C_a C_b, and it is symmetric.
    middle = np.linalg.eigvalsh(root @ np.atleast_2d(cb) @ root)
    cross = float(np.sqrt(np.maximum(middle, 0.0)).sum())
    gap = x.mean(axis=0) - y.mean(axis=0)
    return float(gap @ gap + np.trace(np.atleast_2d(ca)) + np.trace(np.atleast_2d(cb)) - 2 * cross)


def _sheet(images: dict[str, Pixels], conditions: Sequence[Condition], count: int = 9) -> Sheet:
    step = max(1, len(images[CLEAR]) // count)
    rows = [CLEAR, *map(str, conditions)]
    labels = ["original", *map(label, conditions)]
    shown = [list(images[row][::step][:count]) for row in rows]
    return Sheet("The same images under each condition", labels, shown)
