"""What of VisualMixer is measured, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

from stream_anon.visual_mixer.evaluation.sets import Recipe
from stream_anon.visual_mixer.mix import DEFAULT_VFE

DEFAULT = Recipe(DEFAULT_VFE)
GUARDED = (Recipe(80.0), Recipe(90.0), Recipe(None), Recipe(60.0), Recipe(120.0))
"""Windows of at least half a region: the product's own rule."""

TARGETS = (
    ("lfw_dev_128", 60.0),
    ("lfw_dev_128", 80.0),
    ("lfw_dev_128", DEFAULT_VFE),
    ("lfw_dev_128", 120.0),
    ("utk_128_a", DEFAULT_VFE),
    ("celeba_wild_128", DEFAULT_VFE),
    ("digits", DEFAULT_VFE),
)
"""Sets and targets."""

CANDIDATES = (
    Recipe(80.0),
    Recipe(90.0),
    Recipe(95.0),
    DEFAULT,
    Recipe(110.0),
    Recipe(None),
    Recipe(70.0, None, 0.0),
    Recipe(None, None, 1.0, 8),
    Recipe(100.0, 8, 1.0, 32),
)
"""Among which the default was chosen, on pairs that no other table uses."""

SEEDS = (0, 1, 2)
"""Of the trainings whose mean is the loss at the default."""

BARE = (
    Recipe(105.0, 2),
    Recipe(120.0, 2),
    Recipe(90.0, 2),
    Recipe(60.0, 2, 0.0),
    Recipe(60.0, None, 0.0),
    Recipe(70.0, None, 0.0),
)
"""Windows from 2 px on, where VFE alone decides; and no channel changes."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured.

    Attributes:
        train: UTK images for training.
        test: UTK images for testing.
        epochs: passes over them.
        pairs: LFW pairs of each kind with a mixed probe.
        draws: times the default is mixed with fresh keys.
        further: other pairs of one person, on which the default was chosen.
        shown: images shown to the detector.
        others: images of other people for the attackers that learn.
        tried: images of each set that are tried against a target.
        frames: images of each clip that are searched for faces.
    """

    train: int = 10000
    test: int = 4000
    epochs: int = 5
    pairs: int = 400
    draws: int = 5
    further: int = 900
    shown: int = 150
    others: int = 6000
    tried: int = 400
    frames: int = 40


QUICK = Size(
    train=256,
    test=128,
    epochs=1,
    pairs=40,
    draws=2,
    further=20,
    shown=8,
    others=256,
    tried=10,
    frames=2,
)
"""Shows that all of it works, and measures nothing."""
