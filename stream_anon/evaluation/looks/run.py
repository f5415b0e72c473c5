"""``evaluate --only looks`` from its inputs to its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from stream_anon import config
from stream_anon.alignment.mesh import FaceMesh
from stream_anon.errors import InputError
from stream_anon.evaluation.data import condition
from stream_anon.evaluation.data.finder import Finder
from stream_anon.evaluation.looks.figures import looks
from stream_anon.evaluation.reporting.report import Report, machine

SUFFIXES = {".mp4", ".mkv", ".mov", ".webm", ".avi", ".gif"}

FRAMES, QUICK = (120, 2), (48, 3)
"""Frames of each clip, and every so manieth is measured."""


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


def run(
    clips: Sequence[Path],
    models: Path | None,
    methods: Sequence[str],
    detectors: Sequence[str],
    tell: Callable[[str], None],
    *,
    quick: bool = False,
) -> Report:
    """Measure.

    Args:
        clips: videos.
        models: folder looked in before the registry's own.
        methods: as ``condition.parse`` reads them.
        detectors: the first finds the clear faces; none takes the product's own.
        tell: hears what is being done.
        quick: fewer frames.

    Raises:
        StreamAnonError: a clip cannot be read, a network is missing.
    """
    base = config.parse({"models_dir": models}, "looks")
    finder = Finder(detectors[0] if detectors else base.detector.name, models)
    conditions = [condition.parse(text) for text in methods]
    most, step = QUICK if quick else FRAMES
    section = looks(clips, conditions, finder, FaceMesh(models), base, most, step, tell)
    setting = {
        "title": "stream-anon evaluate --only looks",
        "what": f"{', '.join(str(c) for c in conditions)}, on {len(clips)} clips",
        "machine": machine(),
        "detectors": [finder.name],
        "quick": quick,
        "fingerprints": {str(c): c.fingerprint() for c in conditions},
    }
    return Report(setting, [section])
