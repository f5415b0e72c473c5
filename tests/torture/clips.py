"""Torture clips: ``clip(kind, seed, folder)`` makes one. Same seed, same clip.

Every kind is a scene in which faces were, or might be, shown for want of a look: what is true of
each frame is known, since the frame was composed. Kinds stand in ``kinds_*.py``.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from tests.torture.film import Clip, shoot
from tests.torture.kinds import clock, crowds, cuts, more, scenes, screens  # noqa: F401 - they enter their kinds
from tests.torture.studio import KINDS, Studio

SMALL = (640, 360, 1.0)
"""Width, height and length of the form for the fast suite."""

LARGE = (1920, 1080, 1.6)


def clip(kind: str, seed: int, folder: Path, large: bool = False) -> Clip:
    """Make one clip.

    Args:
        kind: a name of ``KINDS``.
        seed: another number is another clip of this kind.
        folder: for the file.
        large: 1080p and 4K, longer.

    Raises:
        KeyError: no such kind.
        ModelError: a frame is not here and cannot be fetched.
    """
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), large])
    width, height, long = LARGE if large else SMALL
    studio = Studio(rng, width, height, long, not large)
    return shoot(KINDS[kind](studio), kind, seed, folder)
