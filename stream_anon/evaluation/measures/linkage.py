"""Attacks on video: many frames of a track averaged, and one person linked from clip to clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stream_anon.evaluation import scores
from stream_anon.evaluation.attackers.loading import Attacker
from stream_anon.evaluation.attackers.recogniser import unit_rows
from stream_anon.evaluation.data.clips import FaceTrack
from stream_anon.evaluation.reporting.report import Cell, Column, Section, Table

LENGTHS: tuple[int | None, ...] = (1, 8, 64, None)
"""Frames that are averaged; None takes the whole track."""

CEILING = "clear to clear (ceiling)"
"""The row in which nothing is anonymised."""

Vectors = NDArray[np.float32]


def averaged(embeddings: Vectors, length: int | None) -> Vectors:
    """Mean direction of ``length`` evenly spaced frames of a track; all where it is shorter.

    Args:
        embeddings: (n, d) unit rows.
        length: frames, at least 1; None takes all.
    """
    count = len(embeddings) if length is None else min(length, len(embeddings))
    rows = np.linspace(0, len(embeddings) - 1, count).round().astype(int)
    if count == 1:
        rows = np.array([len(embeddings) // 2])
    mean: Vectors = unit_rows(embeddings[rows].mean(axis=0, keepdims=True))[0]
    return mean


def linkage(
    attackers: Sequence[Attacker],
    face_tracks: Mapping[str, list[FaceTrack]],
    labels: Mapping[str, str],
    people: int,
) -> Section:
    """The tables.

    Args:
        attackers: whoever looks for people.
        face_tracks: tracks by condition; the same clips under each.
        labels: how each condition is called.
        people: the persons below this number are known to be the same from clip to clip.
    """
    frames = [
        Column(f"{length or 'all'} frame{'s' if length != 1 else ''}: EER %", "percent")
        for length in LENGTHS
    ]
    section = Section(
        "linkage",
        "Attacks on tracks and clips",
        "Every clip is anonymised in a run of its own, so that each of its tracks has a fresh "
        "draw. Embeddings of evenly spaced frames of a track are averaged and normalised. Faces "
        "are aligned by the clear face's landmarks, the best an attacker could have.",
    )
    for attacker in attackers:
        against = Table(f"Averaged frames against a clear gallery, {attacker.name}",
                        [Column("condition"), Column("tracks", "number"), *frames,
                         Column("all frames: rank 1 %", "percent")])  # fmt: skip
        linked = Table(f"Clip to clip, both anonymised, {attacker.name}",
                       [Column("condition"), Column("pairs of one person", "number"),
                        Column("of two", "number"), *frames])  # fmt: skip
        ceiling = _ceiling(attacker, next(iter(face_tracks.values()), []), people)
        if ceiling is not None:
            known_in_clear, cells_in_clear = ceiling
            against.add(CEILING, *known_in_clear)
            linked.add(CEILING, *cells_in_clear)
        for name, all_runs in face_tracks.items():
            tracks = [track for track in all_runs if track.run == 0]
            clear = [attacker.embed(track.clear) for track in tracks]
            new = [attacker.embed(track.new) for track in tracks]
            owners = np.array([track.person for track in tracks])
            clips = np.array([track.clip for track in tracks])
            if len(set(owners.tolist())) >= 2:
                against.add(labels[name], len(tracks), *_against(clear, new, owners, clips))
            known = [track for track in all_runs if track.person < people]
            cells = _linked(
                [attacker.embed(track.new) for track in known],
                np.array([track.person for track in known]),
                np.array([track.clip for track in known]),
            )
            if cells is not None:
                linked.add(labels[name], *cells)
        against.note = (
            "Gallery: all clear frames of every track, averaged. Where a person has several "
            "clips, the gallery is the person's other clips; else it is the very same clip in "
            "the clear, which is more than an attacker will have. The clear row is of those with "
            "several clips only: how far this attacker tells people at all. Chance is 50 %."
        )
        linked.note = (
            "Few pairs: mind the intervals (bootstrap over pairs, taken as independent). A method "
            f"under test runs "
            f"{max(t.run for all_runs in face_tracks.values() for t in all_runs) + 1} "
            "times over each clip, with a fresh draw each time; two runs over one clip are no "
            "pair. Chance is 50 %, the clear row how far this attacker tells people at all."
        )
        section.tables += [
            table for table in (against, linked) if any(row[0] != CEILING for row in table.rows)
        ]
    return section


def _ceiling(
    attacker: Attacker, tracks: Sequence[FaceTrack], people: int
) -> tuple[list[Cell], list[Cell]] | None:
    """Both rows with nothing anonymised; None where no two persons have several clips each."""
    known = [track for track in tracks if track.run == 0 and track.person < people]
    owners = np.array([track.person for track in known], np.int64)
    clips = np.array([track.clip for track in known])
    clear = [attacker.embed(track.clear) for track in known]
    linked = _linked(clear, owners, clips) if known else None
    if linked is None or (np.bincount(owners) > 1).sum() < 2:
        return None
    return [len(known), *_against(clear, clear, owners, clips)], linked


def _against(
    clear: Sequence[Vectors],
    new: Sequence[Vectors],
    owners: NDArray[np.int64],
    clips: NDArray[np.str_],
) -> list[Cell]:
    gallery = np.stack([averaged(e, None) for e in clear])
    several = np.array([(owners == owner).sum() > 1 for owner in owners])
    cells: list[Cell] = []
    hits = 0
    for length in LENGTHS:
        probes = np.stack([averaged(e, length) for e in new])
        alike = probes @ gallery.T
        same = owners[:, None] == owners[None, :]
        # A person with several clips is looked for in the others only.
        hidden = several[:, None] & (clips[:, None] == clips[None, :])
        cells.append(scores.equal_error_interval(alike[same & ~hidden], alike[~same]))
        if length is None:
            best = np.where(hidden, -np.inf, alike).argmax(axis=1)
            hits = int((owners[best] == owners).sum())
    cells.append(scores.share(hits, len(owners)))
    return cells


def _linked(
    new: Sequence[Vectors], owners: NDArray[np.int64], clips: NDArray[np.str_]
) -> list[Cell] | None:
    upper = np.triu(np.ones((len(owners), len(owners)), bool), 1)
    upper &= clips[:, None] != clips[None, :]
    same = (owners[:, None] == owners[None, :]) & upper
    different = (owners[:, None] != owners[None, :]) & upper
    if not same.any() or not different.any():
        return None
    cells: list[Cell] = [int(same.sum()), int(different.sum())]
    for length in LENGTHS:
        probes = np.stack([averaged(e, length) for e in new])
        alike = probes @ probes.T
        cells.append(scores.equal_error_interval(alike[same], alike[different]))
    return cells
