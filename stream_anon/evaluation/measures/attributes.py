"""Do people keep their apparent age, gender and skin? Probes on a recogniser's features.

The labels are those that a set's file names state; the probes only say whether a new face
looks to the recogniser as the old one did. They describe nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon import geometry
from stream_anon.evaluation import scores
from stream_anon.evaluation.attackers.recogniser import Embeddings
from stream_anon.evaluation.data.condition import CLEAR, Condition
from stream_anon.evaluation.data.face_set import FaceSet
from stream_anon.evaluation.data.finder import CANVAS, Finder
from stream_anon.evaluation.measures.privacy_table import label
from stream_anon.evaluation.measures.verification import VerificationBench
from stream_anon.evaluation.reporting.report import Column, Section, Table
from stream_anon.evaluation.scores import Estimate

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

AGES = (30, 45, 60)
"""Years at which one group of ages ends and the next begins."""

ATTRIBUTES = ("age group", "gender", "skin group")
RIDGE = 0.3
HELD_OUT = 5
"""Every fifth labelled image is kept to measure the probe itself."""


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A linear classifier: least squares on one-hot labels, with a ridge.

    Attributes:
        weights: (d + 1, classes) float64, the last row a constant.
    """

    weights: NDArray[np.float64]

    def __call__(self, embeddings: Embeddings) -> Labels:
        """(n, d) to (n,) classes."""
        constant = np.ones((len(embeddings), 1))
        best = (np.hstack([embeddings.astype(np.float64), constant]) @ self.weights).argmax(axis=1)
        return np.asarray(best, np.int64)


def learn(embeddings: Embeddings, labels: Labels) -> Probe:
    """Fit a probe; every class weighs the same, however rare it is."""
    x = np.hstack([embeddings.astype(np.float64), np.ones((len(embeddings), 1))])
    counts = np.bincount(labels)
    weight = 1.0 / counts[labels]
    target = np.eye(len(counts))[labels]
    ridge = np.eye(x.shape[1]) * RIDGE / len(x) * weight.sum()
    ridge[-1, -1] = 0.0
    left = x.T @ (x * weight[:, None]) + ridge
    return Probe(np.linalg.solve(left, x.T @ (target * weight[:, None])))


def kappa(a: Labels, b: Labels) -> float:
    """Cohen's kappa (1960): agreement beyond what the shares of the classes give by chance."""
    observed = float((a == b).mean())
    size = int(max(a.max(), b.max())) + 1
    shares = [np.bincount(v, minlength=size) / len(v) for v in (a, b)]
    chance = float(shares[0] @ shares[1])
    return 1.0 if chance >= 1.0 else (observed - chance) / (1.0 - chance)


def labels_of(names: Sequence[str]) -> tuple[NDArray[np.int64], list[Labels]]:
    """Read ``age_gender_race_...`` file names.

    Returns:
        Rows whose names state all three, and for each attribute the labels of those rows.
    """
    rows: list[int] = []
    found: list[tuple[int, int, int]] = []
    for i, name in enumerate(names):
        parts = PurePosixPath(name).stem.split("_")[:3]
        if len(parts) == 3 and all(part.isdigit() for part in parts):
            age, gender, skin = (int(part) for part in parts)
            rows.append(i)
            found.append((int(np.searchsorted(AGES, age, side="right")), gender, skin))
    table = np.array(found, np.int64).reshape(-1, 3)
    return np.array(rows, np.int64), [table[:, k] for k in range(3)]


def aligned(finder: Finder, image: Pixels) -> Pixels | None:
    """Bring a tight chip to the aligned face space, or None where no face is found."""
    canvas = np.full((CANVAS, CANVAS, 3), 127, np.uint8)
    corner = (CANVAS - geometry.ALIGNED_SIDE) // 2
    place = slice(corner, corner + geometry.ALIGNED_SIDE)
    canvas[place, place] = image
    faces = [f for f in finder.all(canvas) if f.landmarks is not None]
    if not faces:
        return None
    points = max(faces, key=lambda f: f.size).landmarks
    if points is None:
        return None
    transform = geometry.similarity(points - corner)
    side = (geometry.ALIGNED_SIDE, geometry.ALIGNED_SIDE)
    return np.asarray(
        cv2.warpAffine(image, transform, side, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def attributes(
    verification: VerificationBench,
    index: NDArray[np.int64],
    conditions: Sequence[Condition],
    sets: Sequence[FaceSet],
    finder: Finder,
    most: int,
    tell: Callable[[str], None],
) -> Section:
    """Agreement of each probe between original and new face.

    Args:
        verification: the set and the attackers.
        index: rows of the set that are measured.
        conditions: to be measured.
        sets: labelled images.
        finder: aligns them.
        most: labelled images that are used, evenly spread over the sets.
        tell: hears what is being done.
    """
    tell("attributes: labelled images")
    images, labels = _labelled(sets, finder, most)
    test = np.arange(len(images)) % HELD_OUT == 0
    shown = [
        verification.embed(Condition(CLEAR), index),
        *(verification.embed(c, index) for c in conditions),
    ]
    tables = []
    for attacker in verification.recognisers:
        tell(f"attributes: {attacker.name}")
        known = attacker.embed(images)
        probes = [learn(known[~test], values[~test]) for values in labels]
        table = Table(
            f"Agreement of original and new face, probes on {attacker.name}",
            [
                Column("condition"),
                *(Column(f"{name} %", "percent") for name in ATTRIBUTES),
                *(Column(f"{name}, kappa", "number") for name in ATTRIBUTES),
            ],
            note="The first row is the probe against the labels it did not learn from "
            f"({int(test.sum())} images). Kappa 0 is chance.",
        )
        right = [
            (probe(known[test]), values[test]) for probe, values in zip(probes, labels, strict=True)
        ]
        table.add("probe against labels", *_agreement(right), *(kappa(a, b) for a, b in right))
        before = shown[0].embeddings[attacker.name]
        for condition, after in zip(conditions, shown[1:], strict=True):
            pairs = [(probe(before), probe(after.embeddings[attacker.name])) for probe in probes]
            table.add(label(condition), *_agreement(pairs), *(kappa(a, b) for a, b in pairs))
        tables.append(table)
    return Section(
        "attributes",
        "Apparent attributes kept",
        f"Linear probes for {', '.join(ATTRIBUTES)} on the attackers' features, learned from "
        f"{int((~test).sum())} labelled images, applied to {len(index)} images of the set. "
        "High agreement is use for statistics, and a leak of these attributes as well.",
        tables,
    )


def _labelled(
    sets: Sequence[FaceSet], finder: Finder, most: int
) -> tuple[Pixels, list[Labels]]:
    images: list[Pixels] = []
    kept: list[list[Labels]] = []
    for faces in sets:
        rows, labels = labels_of(faces.names)
        step = max(1, len(rows) * len(sets) // most)
        use = []
        for k in range(0, len(rows), step):
            image = aligned(finder, faces.images(rows[k : k + 1])[0])
            if image is not None:
                images.append(image)
                use.append(k)
        kept.append([values[use] for values in labels])
    return np.stack(images), [np.concatenate(column) for column in zip(*kept, strict=True)]


def _agreement(pairs: Sequence[tuple[Labels, Labels]]) -> list[Estimate]:
    return [scores.share(int((a == b).sum()), len(a)) for a, b in pairs]
