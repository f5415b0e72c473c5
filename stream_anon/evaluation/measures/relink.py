"""Whether the shipped encoder can tell that two tracks show one person.

    python -m stream_anon.evaluation.measures.relink FACES.tar [--out FILE.md]

All pairs of a labelled set of face images (``evaluation.data.face_set``) are compared by the cosine
of their identity codes. For each false-match rate the table holds the threshold at which that share
of the pairs of two people is taken for one person, and what is then found of the pairs that are
one. The last columns play a run in which people come and go: each frame in random order, a track
each, is linked to the most alike of the tracks before it, if that one is above the threshold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import StreamAnonError
from stream_anon.evaluation.data.face_set import FaceSet, read_faces
from stream_anon.evaluation.data.stills import in_batches
from stream_anon.evaluation.scores import Estimate, share, threshold_at
from stream_anon.geometry import TEMPLATE
from stream_anon.methods.generative.networks import IdentityEncoder, aligned

Codes = NDArray[np.float32]
People = NDArray[np.int64]

RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""False matches per comparison of two people."""

RUNS = 20
"""Orders in which the tracks come, for the mean over runs."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one false-match rate leaves.

    Attributes:
        rate: false matches per comparison.
        threshold: cosine above which two codes are taken for one person.
        found: share of the pairs of one person that are linked.
        right: links to a track of the same person, mean over runs.
        wrong: links to somebody else, mean over runs.
        missed: tracks whose person was there before and that were linked to nobody, likewise.
    """

    rate: float
    threshold: float
    found: Estimate
    right: float
    wrong: float
    missed: float


def encode(faces: FaceSet, threads: int = 1, batch: int = 32) -> Codes:
    """Identity codes (n, d) of frames that lie in the aligned face space, unit rows."""
    encoder = IdentityEncoder(threads)
    parts = []
    for rows in in_batches(len(faces), batch):
        frames = faces.images(range(rows.start, rows.stop))
        landmarks = np.broadcast_to(TEMPLATE.astype(np.float32), (len(frames), 5, 2))
        parts.append(encoder(aligned(frames, np.ascontiguousarray(landmarks))))
    return np.concatenate(parts)


def measure(codes: Codes, people: People, tracks: int, seed: int = 0) -> list[Row]:
    """A row for each of ``RATES``.

    Args:
        codes: (n, d) unit rows.
        people: (n,) who each shows.
        tracks: frames drawn for a run.
        seed: of the orders in which they come (a measurement, so it may be repeated).
    """
    upper = np.triu_indices(len(codes), 1)
    alike = codes @ codes.T
    scores, same = alike[upper], (people[:, None] == people[None])[upper]
    genuine, impostor = scores[same], scores[~same]
    rows = []
    for rate in RATES:
        threshold = threshold_at(impostor, rate)
        rng = np.random.default_rng(seed)
        runs = np.array(
            [
                _run(alike, people, threshold, rng.permutation(len(codes))[:tracks])
                for _ in range(RUNS)
            ],
            np.float64,
        )
        found = share(int((genuine > threshold).sum()), int(genuine.size))
        rows.append(Row(rate, threshold, found, *runs.mean(axis=0).tolist()))
    return rows


def _run(
    alike: Codes, people: People, threshold: float, order: NDArray[np.int64]
) -> tuple[int, int, int]:
    """Right, wrong and missed links where tracks come in this order."""
    scores, who = alike[np.ix_(order, order)], people[order]
    right = wrong = missed = 0
    for i in range(1, len(order)):
        best = int(scores[i, :i].argmax())
        if scores[i, best] > threshold:
            same = bool(who[best] == who[i])
            right, wrong = right + same, wrong + (not same)
        else:
            missed += bool((who[:i] == who[i]).any())
    return right, wrong, missed


def page(rows: Sequence[Row], frames: int, people: int, tracks: int, how: str) -> str:
    """The table as Markdown."""
    lines = [
        "# Can the shipped encoder tell that two tracks are one person?",
        "",
        f"`{how}`",
        "",
        f"{frames} frames of {people} people, all pairs. A run: {tracks} tracks, mean of "
        f"{RUNS} orders.",
        "",
        "| false matches per comparison | cosine above | pairs of one person that are linked | "
        "run: right links | run: wrong links | run: missed |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.rate:g} | {row.threshold:.3f} | {100 * row.found.value:.1f} % "
        f"({100 * row.found.low:.1f}-{100 * row.found.high:.1f}) | {row.right:.1f} | "
        f"{row.wrong:.1f} | {row.missed:.1f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m stream_anon.evaluation.measures.relink",
        description="Measure how well the identity encoder recognises people who come back.",
    )
    parser.add_argument("faces", type=Path, help="tar or folder; NAME_NUMBER.jpg")
    parser.add_argument("--tracks", type=int, default=200, metavar="N")
    parser.add_argument("--out", type=Path, help="write the page there as well")
    options = parser.parse_args(arguments)
    try:
        faces = read_faces(options.faces)
        people = faces.people()
        rows = measure(encode(faces), people, options.tracks)
    except StreamAnonError as error:
        print(error, file=sys.stderr)
        return 1
    given = " ".join(arguments if arguments is not None else sys.argv[1:])
    how = f"python -m stream_anon.evaluation.measures.relink {given}"
    text = page(rows, len(faces), len(set(people.tolist())), options.tracks, how)
    print(text, end="")
    if options.out is not None:
        options.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
