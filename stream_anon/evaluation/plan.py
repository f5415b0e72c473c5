"""What is asked of a measurement, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stream_anon.evaluation.data import condition as tested


@dataclass(frozen=True, slots=True)
class Profile:
    """How much is measured.

    Attributes:
        pairs: of each kind; None takes all.
        stills: images for utility.
        epsilons: at which each mechanism is measured.
        train_faces: images that the trained attackers learn from.
        label_faces: images that the attribute probes learn from.
        clip_frames: images of each clip.
        dial_pairs: of each kind, for every mechanism at every epsilon.
        repeats: timed calls of each network.
        linked_runs: how often each linked clip is anonymised, every time with a fresh draw.
    """

    pairs: int | None
    stills: int
    epsilons: tuple[float, ...]
    train_faces: int
    label_faces: int
    clip_frames: int
    repeats: int
    dial_pairs: int
    linked_runs: int


FULL = Profile(None, 600, tested.EPSILONS, 3000, 5000, 90, 60, 600, 4)


QUICK = Profile(300, 120, tested.QUICK_EPSILONS, 1500, 1500, 45, 20, 150, 4)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for.

    Attributes:
        faces: tar or folder of aligned face images of named people.
        pairs: CSV ``fold,a,b,same`` over them.
        attackers: YAML files.
        models: folder with the attackers' and the detectors' networks.
        conditions: methods under test, as ``condition.parse`` reads them.
        baselines: likewise, what they are compared with.
        mechanisms: of the first condition's method, measured at every epsilon; none: no dial.
        detectors: utility measures; landmarks are those of the first.
        train_faces: tar or folder of *other* people, for attackers that learn.
        label_faces: tars or folders named age_gender_race_date, for attribute probes.
        clips: videos of people nobody knows.
        linked: videos of one person, one tuple for each person, for clip-to-clip linkage.
        cache: folder for embeddings, so that a run can be resumed.
        only: keys of ``SECTIONS``; empty takes all that the inputs allow.
        profile: how much.
        threads: of each network.
    """

    faces: Path
    pairs: Path
    attackers: list[Path]
    models: Path | None = None
    conditions: tuple[str, ...] = ("identity:mechanism=independent",)
    baselines: tuple[str, ...] = tested.BASELINES
    mechanisms: tuple[str, ...] = tested.MECHANISMS
    detectors: tuple[str, ...] = ("yunet",)
    train_faces: Path | None = None
    label_faces: tuple[Path, ...] = ()
    clips: tuple[Path, ...] = ()
    linked: tuple[tuple[Path, ...], ...] = ()
    cache: Path | None = None
    only: tuple[str, ...] = ()
    profile: Profile = FULL
    threads: int = 1
