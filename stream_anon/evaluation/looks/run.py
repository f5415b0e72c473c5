"""``evaluate --only looks`` from its inputs to its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stream_anon import config
from stream_anon.alignment.mesh import FaceMesh
from stream_anon.errors import InputError, ModelError
from stream_anon.evaluation.attackers.critic import Pyramid
from stream_anon.evaluation.attackers.loading import Attacker, load_attackers, recognisers
from stream_anon.evaluation.data import condition
from stream_anon.evaluation.data.face_set import read_faces
from stream_anon.evaluation.data.finder import Finder
from stream_anon.evaluation.looks.faces import Networks
from stream_anon.evaluation.looks.section import Task, looks
from stream_anon.evaluation.reporting.report import Report, machine, reason

SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".gif"}

FRAMES, QUICK = (120, 2), (48, 3)
"""Frames of each clip, and every so manieth is measured."""

STILLS, QUICK_STILLS = 600, 240
"""Stills of other people, where there are some."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for.

    Attributes:
        clips: videos.
        models: folder looked in before the registry's own, and where recognisers lie.
        methods: as ``condition.parse`` reads them.
        detectors: the first finds the clear faces; none takes the product's own.
        attackers: YAML files of recognisers, and of what looks at a mesh.
        train_faces: tar or folder of other people's stills, for the critic; None: clips alone.
        linked: clips of one person, one tuple for each person; they are held out together.
        quick: fewer frames.
        threads: of each network.
    """

    clips: Sequence[Path]
    models: Path | None = None
    methods: Sequence[str] = ("identity",)
    detectors: Sequence[str] = ()
    attackers: Sequence[Path] = ()
    train_faces: Path | None = None
    linked: Sequence[Sequence[Path]] = ()
    quick: bool = False
    threads: int = 1


def clips_of(path: Path) -> list[Path]:
    """A clip, or the clips of a folder, sorted.

    Raises:
        InputError: the folder holds none.
    """
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{path}: holds no clip")
    return found


def run(plan: Plan, tell: Callable[[str], None]) -> Report:
    """Measure.

    Args:
        plan: what is asked for.
        tell: hears what is being done.

    Raises:
        StreamAnonError: a set cannot be read, the mesh network or a detector is missing. A clip
            or a recogniser that is, is said in the section's ``not_run``.
    """
    base = config.parse({"models_dir": plan.models}, "looks")
    detector = plan.detectors[0] if plan.detectors else base.detector.name
    finder = Finder(detector, plan.models)
    conditions = [condition.parse(text) for text in plan.methods]
    attackers, missing = _attackers(plan)
    pyramid, why = _pyramid(attackers, plan.threads)
    most, step = QUICK if plan.quick else FRAMES
    people = {path: f"person {k}" for k, paths in enumerate(plan.linked) for path in paths}
    clips = list(dict.fromkeys([*plan.clips, *people]))
    stills = read_faces(plan.train_faces) if plan.train_faces is not None else None
    task = Task(
        clips=clips,
        people=people,
        conditions=conditions,
        finder=finder,
        mesh=FaceMesh(plan.models),
        networks=Networks(attackers, pyramid, finder),
        base=base,
        most=most,
        step=step,
        stills=stills,
        most_stills=QUICK_STILLS if plan.quick else STILLS,
        models=plan.models,
    )
    section = looks(task, tell)
    section.not_run = [*missing, *why, *section.not_run]
    setting = {
        "title": "stream-anon evaluate --only looks",
        "what": f"{', '.join(str(c) for c in conditions)}, on {len(clips)} clips"
        + (f" and stills of {stills.name}" if stills is not None else ""),
        "machine": machine(),
        "detectors": [finder.name],
        "attackers": [a.name for a in attackers],
        "critic": pyramid.name if pyramid is not None else None,
        "quick": plan.quick,
        "fingerprints": {str(c): c.fingerprint() for c in conditions},
    }
    return Report(setting, [section])


def _attackers(plan: Plan) -> tuple[list[Attacker], list[str]]:
    """Those that can be loaded, and why others cannot."""
    found: list[Attacker] = []
    missing = []
    for path in plan.attackers:
        try:
            found += load_attackers([path], plan.models, plan.threads)
        except ModelError as error:
            missing.append(f"cosine and Frechet distance: {reason(error)}")
    return found, missing


def _pyramid(attackers: Sequence[Attacker], threads: int) -> tuple[Pyramid | None, list[str]]:
    """What the critic is built on: a recogniser that no training saw, where there is one."""
    why = ["critic: there is no recogniser to build it on"]
    for attacker in sorted(recognisers(attackers), key=lambda a: a.spec.training_saw_it):
        try:
            return Pyramid(attacker, threads), []
        except ModelError as error:
            why = [f"critic: {reason(error)}"]
    return None, why
