"""What anonymised video is still good for: steady over time, moving as the original does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.masks import minimum_interior
from stream_anon.evaluation import scores
from stream_anon.evaluation.attackers.recogniser import Recogniser
from stream_anon.evaluation.data.clips import FaceTrack
from stream_anon.evaluation.data.finder import FACE_SIDE, Finder
from stream_anon.evaluation.measures import face_shape
from stream_anon.evaluation.reporting.report import Cell, Column, Section, Sheet, Table
from stream_anon.geometry import ALIGNED_SIDE

Pixels = NDArray[np.uint8]
Flow = NDArray[np.float32]

CONSISTENT = 1.0
"""Pixels by which flow there and back may differ; beyond it something was hidden."""

UTILITY_SIDE = 40.0
"""Side in pixels of the smallest face of which utility is asked."""

SMALLER = 0.7
"""Size at which the detector looks at the clear faces again, as with stills (64 px and 92)."""


def motion(
    attackers: Sequence[Recogniser],
    finder: Finder,
    face_tracks: Mapping[str, list[FaceTrack]],
    labels: Mapping[str, str],
) -> Section:
    """Flicker, steadiness of the new face, and what is kept of head and mouth over time.

    Args:
        attackers: recognisers.
        finder: looks for the anonymised faces.
        face_tracks: tracks by condition.
        labels: how each condition is called.
    """
    steady = Table(
        "Steadiness",
        [
            Column("condition"),
            Column("tracks", "number"),
            Column("flicker ratio, mean over tracks", "number"),
            Column("flicker ratio, worst track", "number"),
            *(Column(f"cosine along the track, {a.name}", "number") for a in attackers),
            *(Column(f"lowest track, {a.name}", "number") for a in attackers),
        ],
        note="Flicker: mean absolute difference to the frame before, motion compensated by flow "
        "estimated on the input, inside the minimum mask where the flow is consistent, as a "
        "ratio to the original's own. Cosine: mean over all pairs of frames of a track, averaged "
        "over tracks.",
    )
    kept = Table(
        f"Found and moving alike, faces of {UTILITY_SIDE:.0f} px or more",
        [
            Column("condition"),
            Column("frames", "number"),
            Column("found %", "percent"),
            Column("landmark error", "number"),
            *(Column(f"{name} r", "number") for name in face_shape.PROXIES),
        ],
        note="Frames: those whose face is found in the clear, shown in the same way. r: "
        "correlation over the frames of a track between original and new face, averaged over "
        f"tracks, weighted by their length. The clear row looks at the same faces at {SMALLER} of "
        "their size: the detector's own repeatability.",
    )
    kept.add("clear", *_kept(finder, next(iter(face_tracks.values()), []), clear=True))
    for name, tracks in face_tracks.items():
        ratios = [flicker(track) for track in tracks]
        finite = np.array([r for r in ratios if np.isfinite(r)])
        cosines = [np.array([along(a.embed(t.new)) for t in tracks]) for a in attackers]
        steady.add(
            labels[name],
            len(tracks),
            scores.mean(finite) if len(finite) else None,
            float(finite.max()) if len(finite) else None,
            *(scores.mean(c) for c in cosines),
            *(float(c.min()) for c in cosines),
        )
        kept.add(labels[name], *_kept(finder, tracks))
    section = Section(
        "video",
        "Utility of video",
        "Clips run through the pipeline as a user would run it, and compared with the original "
        "frame by frame.",
        [steady, kept],
    )
    section.sheets.append(_sheet(face_tracks, labels))
    return section


def along(embeddings: NDArray[np.float32]) -> float:
    """Mean cosine over all pairs of different rows; (n, d) unit rows, n >= 2."""
    n = len(embeddings)
    total = embeddings.astype(np.float64).sum(axis=0)
    return float((total @ total - np.square(embeddings, dtype=np.float64).sum()) / (n * (n - 1)))


def flicker(track: FaceTrack) -> float:
    """Motion-compensated change of the new face over the original's; NaN if nothing changes."""
    old, new = 0.0, 0.0
    for i in range(1, len(track.frames)):
        if track.frames[i] != track.frames[i - 1] + 1:
            continue
        changes = compensated(
            track.clear[i], track.clear_before[i], track.new[i], track.new_before[i]
        )
        old, new = old + changes[0], new + changes[1]
    return new / old if old > 0 else float("nan")


def compensated(
    clear: Pixels, clear_before: Pixels, new: Pixels, new_before: Pixels
) -> tuple[float, float]:
    """Motion-compensated changes of the old and the new face between two frames, in levels.

    All four are (128, 128, 3) uint8 under one transform; the motion is the clear face's. Both are
    0 where too little of it could be followed.
    """
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    now, before = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (clear, clear_before))
    there: Flow = estimator.calc(now, before, None)
    back: Flow = estimator.calc(before, now, None)
    valid = minimum_interior(ALIGNED_SIDE) & consistent(there, back)
    if valid.sum() < 200:
        return 0.0, 0.0
    return change(clear, clear_before, there, valid), change(new, new_before, there, valid)


def consistent(there: Flow, back: Flow) -> NDArray[np.bool_]:
    """(h, w): where following the flow there and back ends at the start."""
    returned = there + warp(back, there)
    result: NDArray[np.bool_] = np.hypot(returned[..., 0], returned[..., 1]) < CONSISTENT
    return result


def change(now: Pixels, before: Pixels, flow: Flow, valid: NDArray[np.bool_]) -> float:
    """Mean absolute difference in levels between a frame and the one before, moved by flow."""
    moved = warp(before.astype(np.float32), flow)
    return float(np.abs(now.astype(np.float32) - moved)[valid].mean())


def warp(frame: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """Sample a frame at each pixel's place plus its flow; (h, w, c) and (h, w, 2) float32."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    border = cv2.BORDER_REPLICATE
    moved = cv2.remap(
        frame, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=border
    )
    return np.asarray(moved, np.float32)


def _kept(finder: Finder, tracks: Sequence[FaceTrack], *, clear: bool = False) -> list[Cell]:
    """A row: how far the new faces' landmarks follow the old; or, ``clear``, the old their own."""
    frames, hits, errors = 0, 0, []
    rows, weights = [], []
    for track in tracks:
        before, after = [], []
        for i in np.flatnonzero(track.sizes >= UTILITY_SIDE):
            side = float(np.clip(track.sizes[i], UTILITY_SIDE, FACE_SIDE))
            # Both are looked at in the same way: a detector's landmarks shift with the size.
            old_face = finder.aligned(track.clear[i], side)
            if old_face is None:
                continue
            frames += 1
            if clear:
                face = finder.aligned(track.clear[i], SMALLER * side)
            else:
                face = finder.aligned(track.new[i], side)
            hits += face is not None
            if face is not None and face.landmarks is not None and old_face.landmarks is not None:
                before.append(old_face.landmarks)
                after.append(face.landmarks)
        if not before:
            continue
        a, b = np.stack(before), np.stack(after)
        errors.append(face_shape.landmark_error(a, b))
        old, now = face_shape.proxies(a), face_shape.proxies(b)
        rows.append([face_shape.correlation(old[:, k], now[:, k]) for k in range(old.shape[1])])
        weights.append(len(before))
    if not frames:
        return [0, None, None, *([None] * len(face_shape.PROXIES))]
    cells: list[Cell] = [frames, scores.share(hits, frames)]
    cells.append(scores.mean(np.concatenate(errors)) if errors else None)
    table = np.array(rows, np.float64).reshape(-1, len(face_shape.PROXIES))
    for column in table.T:
        good = np.isfinite(column)
        weight = np.array(weights, np.float64)[good]
        cells.append(float(np.average(column[good], weights=weight)) if good.any() else None)
    return cells


def _sheet(
    face_tracks: Mapping[str, list[FaceTrack]], labels: Mapping[str, str], count: int = 8
) -> Sheet:
    names, rows = [], []
    first = next(iter(face_tracks))
    for i, track in enumerate(face_tracks[first]):
        step = max(1, len(track.frames) // count)
        names.append(f"{track.clip}, original")
        rows.append(list(track.clear[::step][:count]))
        for name, tracks in face_tracks.items():
            if i < len(tracks) and tracks[i].clip == track.clip:
                names.append(labels[name])
                rows.append(list(tracks[i].new[::step][:count]))
    return Sheet("Faces over time", names, rows)
