"""One measurement from beginning to end: what is asked for, in order, into one report."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stream_anon import config
from stream_anon.errors import ConfigError, StreamAnonError, UsageError
from stream_anon.evaluation.attackers.loading import load_attackers
from stream_anon.evaluation.attackers.training_set import AttackTrainingSet
from stream_anon.evaluation.data import condition as tested
from stream_anon.evaluation.data.clips import FaceTrack
from stream_anon.evaluation.data.condition import Condition
from stream_anon.evaluation.data.face_set import FaceSet, Pairs, read_faces, read_pairs
from stream_anon.evaluation.data.finder import Finder, landmarks_of
from stream_anon.evaluation.measures.privacy_table import dial_plots, label, verification
from stream_anon.evaluation.measures.verification import Verdict, VerificationBench
from stream_anon.evaluation.plan import QUICK, Plan
from stream_anon.evaluation.reporting.report import Report, Section, machine, reason
from stream_anon.geometry import TEMPLATE

SECTIONS = (
    "leak",
    "privacy",
    "dial",
    "parrot",
    "reconstruct",
    "utility",
    "attributes",
    "linkage",
    "video",
    "cost",
)
"""In the order of the page."""

Tell = Callable[[str], None]


@dataclass(slots=True)
class Measurement:
    """What the sections share, made when it is first needed.

    Attributes:
        plan: what is asked for.
        tell: hears what is being done.
        verification: the set and the attackers.
        pairs: those that are measured.
        methods: conditions under test that can be built.
        baselines: what they are compared with.
        skipped: conditions that cannot be built, and why.
        finders: detectors.
        verdicts: of the privacy section.
        face_tracks: tracks of the clips by condition.
        training_set: the other people, for attackers that learn.
    """

    plan: Plan
    tell: Tell
    verification: VerificationBench
    pairs: Pairs
    methods: list[Condition]
    baselines: list[Condition]
    skipped: dict[str, str]
    finders: list[Finder]
    verdicts: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    face_tracks: dict[str, list[FaceTrack]] = field(default_factory=dict)
    training_set: AttackTrainingSet | None = None

    @property
    def compared(self) -> list[Condition]:
        """Baselines, then what is under test."""
        return [*self.baselines, *self.methods]

    @property
    def stills(self) -> NDArray[np.int64]:
        """Rows of the set that utility is measured on."""
        index = np.unique(self.pairs.b)
        return np.sort(np.random.default_rng(1).permutation(index)[: self.plan.profile.stills])


def evaluate(
    plan: Plan,
    tell: Tell = lambda words: None,
    keep: Callable[[Report], object] = lambda report: None,
) -> Report:
    """Measure.

    Args:
        plan: what is asked for.
        tell: hears what is being done.
        keep: is handed the report after each section, so that a run that is stopped leaves
            what it had measured.

    Raises:
        UsageError: a section is unknown.
        ConfigError: an attacker's YAML or a baseline is wrong.
        InputError: a set, pairs or a clip cannot be read.
        ModelError: an attacker's or a detector's network is missing.
    """
    unknown = set(plan.only) - set(SECTIONS)
    if unknown:
        known = ", ".join(SECTIONS)
        raise UsageError(f"there is no section '{min(unknown)}'; there are {known}")
    bench = prepare(plan, tell)
    report = Report(_setting(bench))
    for key in SECTIONS:
        if plan.only and key not in plan.only:
            continue
        began = time.perf_counter()
        try:
            section = _measure(key, bench)
        except StreamAnonError as error:
            # One measure that cannot be taken does not cost the others; the page says so.
            why = reason(error)
            section = Section(key, key.capitalize(), f"Not run: {why}.", not_run=[why])
        if section is not None:
            section.seconds = time.perf_counter() - began
            report.sections.append(section)
            keep(report)
    return report


def prepare(plan: Plan, tell: Tell) -> Measurement:
    """Read the inputs and compute what is clear."""
    tell("reading the set")
    faces = read_faces(plan.faces)
    pairs = read_pairs(plan.pairs, faces)
    finders = [Finder(name, plan.models) for name in plan.detectors]
    attackers = load_attackers(plan.attackers, plan.models, plan.threads)
    if not attackers:
        raise UsageError("at least one attacker is needed")
    if plan.profile.pairs is not None:
        pairs = pairs.take(plan.profile.pairs)
        faces, pairs = _used(faces, pairs)
    tell("landmarks of the set")
    points, found = landmarks_of(finders[0], faces.images(range(len(faces))))
    points[~found] = TEMPLATE
    tell("clear embeddings")
    verification = VerificationBench(faces, points, attackers, plan.cache)
    skipped: dict[str, str] = {}
    built = []
    for text in plan.conditions:
        wanted = tested.parse(text)
        try:
            wanted.build().close()
        except StreamAnonError as error:
            skipped[str(wanted)] = reason(error)
        else:
            built.append(wanted)
    baselines = [tested.parse(text) for text in plan.baselines]
    for baseline in baselines:
        baseline.build().close()
    return Measurement(plan, tell, verification, pairs, built, baselines, skipped, finders)


def _measure(key: str, bench: Measurement) -> Section | None:
    """One section, or None where the inputs for it were not given."""
    # Each is imported when it runs: the torch parts take seconds to load.
    plan, verification = bench.plan, bench.verification
    if key == "leak":
        from stream_anon.evaluation.measures.leak import leak

        return leak(verification, bench.pairs, bench.tell)
    if key == "privacy":
        return _privacy(bench)
    if key == "dial":
        if not _dialled(bench):
            return None
        from stream_anon.evaluation.measures.dial import dial

        return dial(verification, bench.stills, _dialled(bench), bench.verdicts, bench.tell)
    if key in ("parrot", "reconstruct"):
        return _learned(key, bench)
    if key == "attributes" and plan.label_faces:
        from stream_anon.evaluation.measures.attributes import attributes

        sets = [read_faces(path) for path in plan.label_faces]
        return attributes(
            verification,
            bench.stills,
            bench.compared,
            sets,
            bench.finders[0],
            plan.profile.label_faces,
            bench.tell,
        )
    if key == "utility":
        from stream_anon.evaluation.measures.utility import utility

        return utility(verification, bench.stills, bench.compared, bench.finders, bench.tell)[0]
    if key in ("linkage", "video") and (plan.clips or plan.linked):
        labels = _face_tracks(bench)
        if key == "video":
            from stream_anon.evaluation.measures.motion import motion

            once = {
                name: [t for t in face_tracks if t.run == 0]
                for name, face_tracks in bench.face_tracks.items()
            }
            return motion(verification.recognisers, bench.finders[0], once, labels)
        from stream_anon.evaluation.measures.linkage import linkage

        return linkage(verification.attackers, bench.face_tracks, labels, len(plan.linked))
    if key == "cost":
        from stream_anon.evaluation.measures.cost import cost

        return cost(verification.faces.images(range(4)), plan.profile.repeats, bench.tell)
    return None


def _privacy(bench: Measurement) -> Section:
    steps = _dialled(bench)
    section, bench.verdicts = verification(
        bench.verification, bench.pairs, bench.compared, bench.compared, bench.tell
    )
    if steps:
        fewer = bench.pairs.take(bench.plan.profile.dial_pairs)
        turned, verdicts = verification(bench.verification, fewer, steps, (), bench.tell)
        bench.verdicts |= {k: v for k, v in verdicts.items() if k not in bench.verdicts}
        for table in turned.tables:
            table.title += f", every epsilon, {len(fewer)} pairs"
        section.tables += turned.tables
        names = [a.name for a in bench.verification.recognisers]
        section.plots = dial_plots(steps, verdicts, names)
    if bench.skipped:
        section.not_run += [f"{name}: {why}" for name, why in bench.skipped.items()]
        section.text += " Not run: " + "; ".join(section.not_run)
    return section


def _learned(key: str, bench: Measurement) -> Section | None:
    plan = bench.plan
    if plan.train_faces is None:
        return None
    if importlib.util.find_spec("torch") is None:
        why = "torch missing (the [train] extra)"
        return Section(key, key.capitalize(), f"Not run: {why}.", not_run=[why])
    from stream_anon.evaluation.measures import learned

    if bench.training_set is None:
        others = read_faces(plan.train_faces)
        bench.training_set = AttackTrainingSet(
            others,
            bench.finders[0],
            bench.verification.attackers,
            plan.profile.train_faces,
            bench.tell,
        )
    measure = learned.parrot if key == "parrot" else learned.reconstruct
    return measure(
        bench.verification,
        bench.pairs,
        bench.compared,
        bench.training_set,
        plan.threads,
        bench.tell,
    )


def _face_tracks(bench: Measurement) -> dict[str, str]:
    """Run the clips through every compared condition, once; how the conditions are called."""
    from stream_anon.evaluation.data.clips import face_track

    plan = bench.plan
    people = [(path, i) for i, paths in enumerate(plan.linked) for path in paths]
    clips = people + [(path, -1) for path in plan.clips]
    detector = {"name": plan.detectors[0]}
    base = config.parse({"detector": detector, "models_dir": plan.models})
    for condition in bench.compared:
        if str(condition) in bench.face_tracks:
            continue
        face_tracks = face_track(
            clips, condition, bench.finders[0], base, plan.profile.clip_frames, bench.tell
        )
        # Few pairs and one draw each say little: what is random is drawn again.
        for run in range(1, plan.profile.linked_runs if condition in bench.methods else 1):
            again = face_track(
                people, condition, bench.finders[0], base, plan.profile.clip_frames, bench.tell
            )
            face_tracks += [replace(track, run=run) for track in again]
        bench.face_tracks[str(condition)] = face_tracks
    return {str(c): label(c) for c in bench.compared}


def _dialled(bench: Measurement) -> list[Condition]:
    """The first method under test at every mechanism and epsilon, where it has a code."""
    if not bench.methods or bench.methods[0].method not in tested.GENERATORS:
        return []
    profile, mechanisms = bench.plan.profile, bench.plan.mechanisms
    steps = tested.dial(bench.methods[0].method, mechanisms, profile.epsilons)
    return steps if mechanisms else []


def _used(faces: FaceSet, pairs: Pairs) -> tuple[FaceSet, Pairs]:
    """The images that pairs speak of, and the pairs in their new rows."""
    index = np.unique(np.concatenate([pairs.a, pairs.b]))
    a, b = np.searchsorted(index, pairs.a), np.searchsorted(index, pairs.b)
    return faces.subset(index), Pairs(pairs.fold, a, b, pairs.same)


def _setting(bench: Measurement) -> dict[str, object]:
    plan, verification = bench.plan, bench.verification
    names = ", ".join(str(c) for c in bench.compared)
    return {
        "title": "stream-anon evaluate",
        "what": f"{names}, on {len(verification.faces)} images of "
        f"{len(np.unique(verification.people))} "
        f"people ({verification.faces.name}) and {len(bench.pairs)} pairs",
        "machine": machine(),
        "set": verification.faces.name,
        "quick": plan.profile is QUICK,
        "threads": plan.threads,
        "attackers": [
            {
                "name": a.name,
                "dimension": a.spec.dimension,
                "training_saw_it": a.spec.training_saw_it,
                "licence": a.spec.licence,
            }
            for a in verification.attackers
        ],
        "detectors": [finder.name for finder in bench.finders],
        "skipped": bench.skipped,
        # Options, and weights by content: figures of other weights are other figures.
        "fingerprints": {str(c): c.fingerprint() for c in bench.compared},
    }


def check_conditions(texts: tuple[str, ...]) -> None:
    """Read conditions before anything is computed.

    Raises:
        ConfigError: one is not of the form ``name:key=value,...``.
    """
    for text in texts:
        if tested.parse(text).method == tested.CLEAR:
            raise ConfigError("condition 'clear' is always measured: do not name it")
