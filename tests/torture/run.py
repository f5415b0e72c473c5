"""Make torture clips, redact them, and say which true faces are shown.

    python -m tests.torture.run [--kind K ...] [--seed N] [--seeds N] [--method M] [--large]
                                [--preset P] [--budget B] [--set tracker.interval=0.1]
                                [--check] [--verbose]

It redacts with the checkout that it is run in. ``--check`` also counts the true faces that the
configured detector does not find when it is shown every frame by itself: those are the
detector's, not the tracker's. ``spill`` is the share of the frames, away from any true face, that
was painted (``fill`` only).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from stream_anon import recipes
from stream_anon.config import Config, load
from stream_anon.detection.base import Detector
from stream_anon.detection.registry import make_detector
from stream_anon.detection.suppression import overlaps
from tests.torture.clips import KINDS, clip
from tests.torture.film import Clip, decoded
from tests.torture.images import Pixels
from tests.torture.judge import BUDGETS, configuration, judge, smallest


class Still:
    """A frame as a detector wants it."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.height, self.width = pixels.shape[:2]

    def thumbnail(self, width: int, height: int) -> Pixels:
        how = cv2.INTER_AREA if width < self.width else cv2.INTER_LINEAR
        return cv2.resize(self.pixels[..., ::-1], (width, height), interpolation=how)


def not_found(made: Clip, detector: Detector) -> list[tuple[int, int]]:
    """(frame, person) of true faces that the detector does not find in the frame by itself, at
    its threshold and with an overlap of 0.3."""
    missed = []
    for number, pixels in enumerate(decoded(made.path)):
        truth = [f for f in made.truth[number] if f.size >= smallest(detector.config)]
        if not truth:
            continue
        seen = detector.detect(Still(pixels), made.quarter_turns)
        found = [face.box for face in seen if face.score >= detector.config.threshold]
        boxes = np.array([face.box for face in truth], float)
        best = overlaps(boxes, np.array(found)).max(1) if found else np.zeros(len(truth))
        missed += [(number, f.person) for f, b in zip(truth, best, strict=True) if b < 0.3]
    return missed


def _config(given: argparse.Namespace) -> Config:
    base = load(recipes.preset(given.preset)) if given.preset else Config()
    changes: dict[str, Any] = dict(BUDGETS[given.budget]) if given.budget else {}
    for one in given.set:
        name, _, value = one.partition("=")
        changes[name] = yaml.safe_load(value)
    return configuration(given.method, base, **changes)


def main(arguments: Sequence[str]) -> int:
    """Print the table; 0 where no face is shown, nothing is refused and nothing broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.run")
    parser.add_argument("--kind", action="append", metavar="K", help=", ".join(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="so many, from --seed on")
    parser.add_argument("--method", default="fill")
    parser.add_argument("--preset", help=", ".join(recipes.presets()))
    parser.add_argument("--budget", choices=list(BUDGETS))
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE")
    parser.add_argument("--large", action="store_true", help="1080p and 4K")
    parser.add_argument("--check", action="store_true", help="what the detector finds by itself")
    parser.add_argument("--keep", type=Path, help="leave the clips in this folder")
    parser.add_argument("--verbose", action="store_true", help="each face that is shown")
    given = parser.parse_args(arguments)
    config = _config(given)
    detector = make_detector(config.detector) if given.check else None
    kinds = given.kind or list(KINDS)
    wrong = [name for name in kinds if name not in KINDS]
    if wrong:
        parser.error(f"no such kind: {', '.join(wrong)}")
    total = [0, 0]
    bad = False
    with tempfile.TemporaryDirectory(prefix="torture-") as scratch:
        folder = given.keep or Path(scratch)
        print(f"{'kind':24}{'seed':>5}{'shown/true':>13}{'not found':>10}{'spill':>7}{'s':>7}")
        for name in kinds:
            for seed in range(given.seed, given.seed + given.seeds):
                began = time.monotonic()
                made = clip(name, seed, folder, given.large)
                missed = "" if detector is None else str(len(not_found(made, detector)))
                verdict = judge(made, config, Path(scratch))
                notes = str(verdict).partition(" shown")[2].lstrip(", ")
                score = f"{len(verdict.shown)}/{verdict.faces or made.faces}"
                took = time.monotonic() - began
                print(f"{name:24}{seed:5d}{score:>13}{missed:>10}"
                      f"{100 * verdict.spill:6.1f}%{took:7.1f}  {notes}", flush=True)
                for one in verdict.shown if given.verbose else ():
                    box = ", ".join(f"{value:.0f}" for value in one.face.box)
                    print(f"    frame {one.frame}, person {one.face.person}, box {box}, "
                          f"{one.covered:.0%} of it covered")  # fmt: skip
                total[0] += len(verdict.shown)
                total[1] += verdict.faces
                bad |= bool(verdict.shown or verdict.refused or verdict.broken)
                if given.keep is None:
                    made.path.unlink()
    print(f"{'all':24}{'':5}{f'{total[0]}/{total[1]}':>13}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
