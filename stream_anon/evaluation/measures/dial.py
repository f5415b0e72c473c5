"""The dial: what epsilon does to the code, by theory and by measurement, and to the face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stream_anon.config import MethodConfig
from stream_anon.errors import ConfigError
from stream_anon.evaluation import scores
from stream_anon.evaluation.data.condition import Condition
from stream_anon.evaluation.data.stills import in_batches
from stream_anon.evaluation.measures.privacy_table import label
from stream_anon.evaluation.measures.verification import Verdict, VerificationBench
from stream_anon.evaluation.reporting.report import Cell, Column, Section, Table
from stream_anon.geometry import TEMPLATE
from stream_anon.methods.generative.base import CodedMethod, mechanism_of
from stream_anon.methods.generative.networks import prior
from stream_anon.privacy import GaussianPrior, Mechanism, SecureRandom

SLACK = 0.01
"""Cosine by which a step may fall below the one before it and still count as level: about two
standard errors of a mean over a thousand faces."""


PRIORS = {"identity": "identity_prior", "dp-image": "appearance_prior"}
"""The public prior of each method that has a code."""


def dial(
    verification: VerificationBench,
    index: NDArray[np.int64],
    steps: Sequence[Condition],
    verdicts: dict[tuple[str, str], Verdict],
    tell: Callable[[str], None],
) -> Section:
    """Cosine at the code by theory and as drawn, and similarity of the faces, for every step.

    Args:
        verification: the set and the attackers.
        index: rows of the set whose codes are released.
        steps: the control and every mechanism at every epsilon.
        verdicts: of the privacy section; may be empty.
        tell: hears what is being done.
    """
    tell("dial: codes")
    codes = codes_of(steps, verification.faces.images(index))
    names = [a.name for a in verification.recognisers]
    table = Table(
        "Cosine between the released and the true code, and between new face and original",
        [
            Column("condition"),
            Column("code, theory", "number"),
            Column("code, drawn", "number"),
            *(Column(f"face, {name}", "number") for name in names),
        ],
    )
    faces: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with SecureRandom() as rng:
        for step in steps:
            tell(f"dial: {step}")
            mechanism = mechanism_for(step)
            drawn = np.stack([mechanism.release(code, rng) for code in codes])
            alike = np.einsum("nd,nd->n", codes, drawn)
            cells: list[Cell] = []
            for name in names:
                verdict = verdicts.get((name, str(step)))
                cells.append(None if verdict is None else verdict.similarity)
                if verdict is not None:
                    epsilon = float(step.options.get("epsilon", 0.0))
                    point = (epsilon, verdict.similarity.value)
                    faces.setdefault((name, str(step.options["mechanism"])), []).append(point)
            table.add(label(step), mechanism.expected_cosine(), scores.mean(alike), *cells)
    return Section(
        "dial",
        "The dial",
        "The code is the project's own encoder's. Theory: the mechanism's closed form or its "
        "numerical integral. Drawn: one release for each of "
        f"{len(index)} images. The faces' cosines are those of the privacy section.",
        [table, *([rising(faces)] if faces else [])],
    )


def codes_of(steps: Sequence[Condition], images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Unit codes of images, by the encoder of the method under test.

    Raises:
        ConfigError: no step reads a code.
    """
    for step in steps:
        if not mechanism_for(step).reads_code:
            continue
        method = step.build()
        try:
            if isinstance(method, CodedMethod):
                places = np.tile(TEMPLATE.astype(np.float32), (len(images), 1, 1))
                codes = np.concatenate([method.encode(images[part], places[part]) for part in
                                        in_batches(len(images), 16)])  # fmt: skip
                norms = np.linalg.norm(codes, axis=1, keepdims=True)
                return np.asarray(codes / norms, np.float64)
        finally:
            method.close()
    raise ConfigError("the dial needs a mechanism that reads a code")


def mechanism_for(step: Condition) -> Mechanism:
    """The mechanism that a condition asks for, as its method makes it."""
    mean, root = (np.asarray(part, np.float64) for part in prior(PRIORS[step.method]))
    public = GaussianPrior(mean, root)
    section = step.config().method
    if not isinstance(section, MethodConfig):
        raise ConfigError(f"{step.method} has no mechanism of ours")
    return mechanism_of(section, "independent", 0.0, public)


def rising(faces: dict[tuple[str, str], list[tuple[float, float]]]) -> Table:
    """Whether similarity rises with epsilon, from the control to the largest.

    Args:
        faces: (attacker, mechanism) to points (epsilon, similarity); the mechanism
            ``independent`` holds the control at epsilon 0.
    """
    table = Table(
        "Does similarity rise with epsilon?",
        [
            Column("attacker"),
            Column("mechanism"),
            Column("control", "number"),
            Column("largest epsilon", "number"),
            Column("largest fall between steps", "number"),
            Column("rises"),
        ],
        note=f"A fall of up to {SLACK} between two steps counts as level.",
    )
    for (name, mechanism), points in faces.items():
        if mechanism == "independent":
            continue
        values = [y for _, y in sorted(points + faces.get((name, "independent"), []))]
        fall = max((a - b for a, b in pairwise(values)), default=0.0)
        level = fall <= SLACK and values[-1] >= values[0]
        table.add(name, mechanism, values[0], values[-1], max(0.0, fall), "yes" if level else "NO")
    return table
