"""What a stranger would notice, all of it: clips through the pipeline, then every table.

``stream-anon evaluate --only looks CLIPS -o PAGE``: clips go through the pipeline as a user would
run it, encoded nearly without loss so that no codec is measured, and are compared frame by frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from stream_anon.alignment.mesh import PRESENT, FaceMesh
from stream_anon.api import redact
from stream_anon.config import Config, override
from stream_anon.errors import StreamAnonError
from stream_anon.evaluation.attackers.loading import recognisers
from stream_anon.evaluation.data.clips import SHORTEST, encoded_again, end_of
from stream_anon.evaluation.data.condition import Condition
from stream_anon.evaluation.data.face_set import FaceSet
from stream_anon.evaluation.data.finder import Finder, landmarks_of
from stream_anon.evaluation.data.stills import anonymise
from stream_anon.evaluation.looks import marks, population, worst
from stream_anon.evaluation.looks.faces import Faces, Networks
from stream_anon.evaluation.looks.figures import CLOSE, SMALLEST, WIDEST, Seen, look, row, table
from stream_anon.evaluation.reporting.report import Section, reason

CRF = 10
"""Of the output, where the encoder knows it."""

EACH = 3
"""Stills of each person."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is measured with what.

    Attributes:
        clips: files.
        people: by file, the name of who is known to be in it; others are a group of their own.
        conditions: how they are anonymised.
        finder: finds the clear faces.
        mesh: the judge.
        networks: who looks at the faces.
        base: the rest of the configuration.
        most: frames of each clip.
        step: every so manieth is measured.
        stills: further people for the critic, or None.
        most_stills: pictures of them.
        models: folder looked in before the registry's own.
    """

    clips: Sequence[Path]
    people: Mapping[Path, str]
    conditions: Sequence[Condition]
    finder: Finder
    mesh: FaceMesh
    networks: Networks
    base: Config
    most: int
    step: int
    stills: FaceSet | None = None
    most_stills: int = 600
    models: Path | None = None


@dataclass(slots=True)
class _Found:
    """What was gathered, by condition."""

    tracks: dict[str, list[Faces]] = field(default_factory=dict)
    stills: dict[str, list[Faces]] = field(default_factory=dict)


def looks(task: Task, tell: Callable[[str], None]) -> Section:
    """Anonymise clips and measure what of it is noticed.

    Args:
        task: what is measured.
        tell: hears what is being done.
    """
    section = Section("looks", "What a stranger notices", _text(task))
    found = _Found()
    for condition in task.conditions:
        _condition(task, condition, section, found, tell)
    if task.stills is not None:
        _stills(task, task.stills, found, tell)
    networks = task.networks
    named = [a.name for a in recognisers(networks.attackers)]
    tracks = {name: faces for name, faces in found.tracks.items() if faces}
    if tracks:
        section.tables.append(population.steadiness_table(tracks, named, task.finder.name))
        if networks.pyramid is not None:
            tell("critic")
            critic, missing = population.critic_table(tracks, found.stills)
            section.tables.append(critic)
            section.not_run += missing
        if networks.attackers:
            names = [a.name for a in networks.attackers]
            frechet, missing = population.frechet_table(tracks, found.stills, names)
            section.tables.append(frechet)
            section.not_run += missing
    return section


def _condition(
    task: Task,
    condition: Condition,
    section: Section,
    found: _Found,
    tell: Callable[[str], None],
) -> None:
    figures = table(str(condition))
    # What a redaction leaves open shall be measured, not refused.
    config = override(condition.config(task.base), **{"video.crf": CRF, "verify.mode": "off"})
    everything: list[Seen] = []
    cut_out: list[worst.Worst] = []
    tracks = found.tracks.setdefault(str(condition), [])
    with TemporaryDirectory(prefix="stream-anon-") as folder:
        for path in task.clips:
            tell(f"clip {path.name}: {condition}")
            target, again = Path(folder) / f"{path.stem}.mp4", Path(folder) / "again.mp4"
            try:
                redact(path, target, config=config, overwrite=True, end=end_of(path, task.most))
                encoded_again(path, again, task.most, CRF)
                seen = look(path, target, task.finder, task.mesh, task.most, task.step, again)
            except StreamAnonError as error:
                # One clip that cannot be measured does not cost the others; the page says so.
                section.not_run.append(f"{path.name}, {condition}: {reason(error)}")
                continue
            finally:
                target.unlink(missing_ok=True)
                again.unlink(missing_ok=True)
            everything.append(seen)
            figures.add(seen.clip, *row([seen]))
            for number, track in enumerate(seen.tracks):
                if len(track.marks) >= SHORTEST:
                    cut_out.append(worst.worst_of(seen.clip, number, track.marks))
                    group = task.people.get(path, path.stem)
                    controls = condition is task.conditions[0]
                    made = task.networks.track(seen.clip, group, track.marks, controls)
                    tracks.append(made)
                # The pictures are read: a long list of clips would fill the memory with them.
                track.marks = [mark.without_pictures() for mark in track.marks]
    if not everything:
        return
    whole = row(everything)
    figures.rows.insert(0, ["all", *whole])
    section.tables.append(figures)
    section.sheets.append(worst.sheet(cut_out, str(condition)))
    for column, cell in zip(figures.columns[1:], whole, strict=True):
        if cell is None:
            section.not_run.append(f"{column.title}, {condition}: no face tells it")


def _stills(
    task: Task, faces: FaceSet, found: _Found, tell: Callable[[str], None]
) -> None:
    tell("stills of other people: landmarks")
    owners = faces.people()
    rows = some_of(owners, task.most_stills)
    images = faces.images(rows)
    points, seen = landmarks_of(task.finder, images)
    images, points, owners = images[seen], points[seen], owners[rows][seen]
    for condition in task.conditions:
        tell(f"stills of other people: {condition}")
        method = condition.build()
        try:
            new = anonymise(method, images, points, models_dir=task.models).images
        finally:
            method.close()
        controls = condition is task.conditions[0]
        found.stills[str(condition)] = [
            task.networks.stills(faces.name, str(person), images[own], new[own], controls)
            for person in np.unique(owners)
            for own in [owners == person]
        ]


def some_of(people: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most ``most`` rows, ``EACH`` of as many people as possible, the same at every call."""
    rows: list[int] = []
    for person in np.random.default_rng(5).permutation(np.unique(people)):
        own = np.flatnonzero(people == person)[:EACH]
        if len(rows) + len(own) <= most:
            rows += own.tolist()
    return np.array(sorted(rows), np.int64)


def _text(task: Task) -> str:
    return (
        f"{len(task.clips)} clips, at most {task.most} frames of each, every {task.step}. "
        f"measured. A face counts where a mesh of at least {PRESENT} presence lies on the clear "
        "face. Mouth, eyes: correlation of their opening, new with old, along a track, weighted "
        "by its length. Drawn: a mesh is present on the new face, of those of "
        f"{SMALLEST:.0f} px turned less than {WIDEST:.0f} degrees. Changed: by more than "
        f"{marks.CHANGED:.0f} levels, outside every face's box grown twofold. Detail: finest "
        f"octave inside the face, new over old; close-ups are of {CLOSE:.0f} px. Seam: gradient "
        "along the edge of what was changed, new over old. Flicker: motion-compensated change "
        "since the frame before, new over old, mean of tracks."
    )
