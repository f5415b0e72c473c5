"""New faces as a population: can a critic tell them from real ones, how far off are they?

Tables of Frechet distances, of a critic trained afresh, and of how steady a new face is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_anon.evaluation import scores
from stream_anon.evaluation.attackers.critic import Features, accuracy
from stream_anon.evaluation.looks.faces import SIDES, Faces, Views
from stream_anon.evaluation.measures.motion import along
from stream_anon.evaluation.measures.utility import frechet_distance
from stream_anon.evaluation.reporting.report import Cell, Column, Table

Array = NDArray[np.float64]
Pick = Callable[[Views], tuple[Features, Features]]

PARTINGS = 8
"""Ways to part the faces in two halves of other people; distances are their mean."""

FEWEST = 20
"""Faces in a half below which no distance is taken."""

CHANCE = "clear, through the encoder (control: chance is 50 %)"
SOFTENED = "clear, blurred (control: has to be told)"


def critic_table(
    clips: Mapping[str, Sequence[Faces]], stills: Mapping[str, Sequence[Faces]]
) -> tuple[Table, list[str]]:
    """How often a critic trained afresh is right, and why it could not be asked where it was not.

    Args:
        clips: tracks by condition; the first one's hold the controls.
        stills: people by condition; may be empty.
    """
    table = Table(
        "A critic trained afresh: right about real and new faces",
        [Column("faces"), Column("condition"), *(Column(f"{side} px %", "percent")
                                                 for side in SIDES)],
        note="Chance is 50 %. Tested on clips (stills: people) that it was not trained on, five "
        "parts in turn; trained on the other clips, and on all stills of the same condition "
        "where there are some. px: side of the aligned face space, 1.4 face boxes; clips "
        "count where their faces have that many pixels, stills have 128. Real faces have gone "
        "through the same encoder as the new ones. Intervals: bootstrap over clips (people).",
    )  # fmt: skip
    missing: list[str] = []

    def ask(kind: str, name: str, tracks: Sequence[Faces], more: Sequence[Faces], pick: Pick,
            sides: Sequence[int]) -> None:  # fmt: skip
        cells: list[Cell] = []
        for side in SIDES:
            cell, why = _asked(tracks, more, side, pick) if side in sides else (None, "")
            if why:
                missing.append(f"critic, {kind}, {name}, {side} px: {why}")
            cells.append(cell)
        table.add(kind, name, *cells)

    for name, tracks in clips.items():
        ask("clips", name, tracks, stills.get(name, ()), lambda v: (v.real, v.new), SIDES)
    for name, people in stills.items():
        ask("stills", name, people, (), lambda v: (v.real, v.new), SIDES[:2])
    for name, first in list(clips.items())[:1]:
        ask("clips", CHANCE, first, (), lambda v: (v.source, v.real), SIDES)
        ask("clips", SOFTENED, first, stills.get(name, ()), lambda v: (v.real, v.soft), SIDES)
    for people in list(stills.values())[:1]:
        ask("stills", SOFTENED, people, (), lambda v: (v.real, v.soft), SIDES[:2])
    return table, missing


def _asked(
    tracks: Sequence[Faces], more: Sequence[Faces], side: int, pick: Pick
) -> tuple[Cell, str]:
    rows = [(t.group, *pick(t.views[side])) for t in tracks if side in t.views]
    if not rows:
        return None, "no face has that many pixels"
    groups = [group for group, old, _ in rows for _ in range(len(old))]
    further = [pick(t.views[side]) for t in more if side in t.views]
    joined = (_joined(further, 0), _joined(further, 1)) if further else None
    pairs = [(old, new) for _, old, new in rows]
    try:
        return accuracy(_joined(pairs, 0), _joined(pairs, 1), groups, joined), ""
    except ValueError as error:
        return None, str(error)


def _joined(pairs: Sequence[tuple[Features, Features]], which: int) -> Features:
    return np.concatenate([pair[which] for pair in pairs])


def frechet_table(
    clips: Mapping[str, Sequence[Faces]],
    stills: Mapping[str, Sequence[Faces]],
    attackers: Sequence[str],
) -> tuple[Table, list[str]]:
    """Frechet distances of new faces to real ones of other people, beside real to real.

    Args:
        clips: tracks by condition.
        stills: people by condition; may be empty.
        attackers: names of those whose features are compared.
    """
    table = Table(
        "Frechet distance to real faces of other people",
        [Column("faces"), Column("condition"), *(Column(name, "number") for name in attackers)],
        note="Of unit vectors, times 1000; 'mesh' are shape and expression as the mesh network "
        "sees them. Clips (stills: people) are parted in two halves; the new faces of each are "
        f"held against the real ones of the other, mean of {PARTINGS} partings. Floor: the "
        "real ones of the one against those of the other: what other people, and so few, give.",
    )
    missing: list[str] = []
    for kind, found in (("clips", clips), ("stills", stills)):
        floors: list[Cell] | None = None
        for name, tracks in found.items():
            values: list[tuple[float, float]] = []
            try:
                values = [distances(tracks, attacker) for attacker in attackers]
            except ValueError as error:
                missing.append(f"Frechet distance, {kind}, {name}: {error}")
                continue
            floors = floors or [floor for _, floor in values]
            table.add(kind, name, *(new for new, _ in values))
        if floors is not None:
            table.add(kind, "clear (floor)", *floors)
    return table, missing


def distances(tracks: Sequence[Faces], attacker: str, seed: int = 0) -> tuple[float, float]:
    """Frechet distances (times 1000) of new and of real faces to real faces of other people.

    Raises:
        ValueError: too few faces, or all of one clip or person.
    """
    groups = sorted({t.group for t in tracks})
    if len(groups) < 2:
        raise ValueError("there are no other people to compare with")
    rng = np.random.default_rng(seed)
    found: list[tuple[float, float]] = []
    for _ in range(PARTINGS):
        one = set(rng.permutation(groups)[: len(groups) // 2].tolist())
        halves = [[t.embeddings[attacker] for t in tracks if (t.group in one) is side]
                  for side in (True, False)]  # fmt: skip
        real = [np.concatenate([clear for clear, _ in half]) for half in halves]
        new = [np.concatenate([fresh for _, fresh in half]) for half in halves]
        if min(len(half) for half in real) < FEWEST:
            continue
        crossed = (frechet_distance(new[0], real[1]) + frechet_distance(new[1], real[0])) / 2.0
        found.append((1e3 * crossed, 1e3 * frechet_distance(real[0], real[1])))
    if not found:
        raise ValueError(f"fewer than {FEWEST} faces in each half")
    new_mean, floor_mean = np.mean(found, axis=0)
    return float(new_mean), float(floor_mean)


def steadiness_table(
    clips: Mapping[str, Sequence[Faces]], recognisers: Sequence[str], detector: str
) -> Table:
    """Cosine of the new face with itself, and five landmarks against the clear face's.

    Args:
        clips: tracks by condition.
        recognisers: names.
        detector: whose landmarks.
    """
    table = Table(
        "The same face all along, and where its landmarks are",
        [
            Column("condition"),
            Column("clip"),
            Column("tracks", "number"),
            *(Column(f"cosine with itself, {name}", "number") for name in recognisers),
            *(Column(f"lowest track, {name}", "number") for name in recognisers),
            Column("five landmarks", "number"),
            Column("the detector's own", "number"),
        ],
        note="Cosine: mean over all pairs of frames of a track, mean over tracks. Landmarks: mean "
        f"error in interocular distances by {detector}, faces of 40 px and more; its own: on the "
        "clear face at 0.7 of its size.",
    )
    for condition, tracks in clips.items():
        names = list(dict.fromkeys(t.clip for t in tracks))
        table.add(condition, "all", *_steady(tracks, recognisers))
        for name in names if len(names) > 1 else ():
            table.add(condition, name, *_steady([t for t in tracks if t.clip == name], recognisers))
    return table


def _steady(tracks: Sequence[Faces], recognisers: Sequence[str]) -> list[Cell]:
    means: list[Cell] = []
    lowest: list[Cell] = []
    for name in recognisers:
        values = np.array(
            [along(t.embeddings[name][1]) for t in tracks if len(t.embeddings[name][1]) > 1]
        )
        means.append(scores.mean(values) if len(values) else None)
        lowest.append(float(values.min()) if len(values) else None)
    errors = [
        np.array([e for t in tracks for e in t.five]),
        np.array([e for t in tracks for e in t.own]),
    ]
    return [len(tracks), *means, *lowest, *(scores.mean(e) if len(e) else None for e in errors)]
