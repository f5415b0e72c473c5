"""New faces that follow a mesh, on real clips, judged by the same mesh network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream_anon import config
from stream_anon.alignment.mesh import FaceMesh
from stream_anon.api import redact
from stream_anon.errors import ModelError
from stream_anon.evaluation.data import condition
from stream_anon.evaluation.data.clips import end_of
from stream_anon.evaluation.data.finder import Finder
from stream_anon.evaluation.looks.figures import look, row

FRAMES = 30

DRAWS = 3
"""Every run draws a new identity, and some move their mouth less: the median counts."""


@pytest.mark.shared
@pytest.mark.slow
def test_a_talking_head_talks_and_looks_where_it_looked(shared: Path, tmp_path: Path):
    try:
        mesh = FaceMesh()
    except ModelError as error:
        pytest.skip(f"not here, and no index to ask: {error}")
    finder = Finder("yunet", shared / "models")
    base = config.parse({"detector": {"name": "yunet"}, "models_dir": shared / "models"})
    clip = shared / "media" / "carphone.mp4"
    figures = {}
    mouths: list[float] = []
    for text in (*["identity:mesh=true"] * DRAWS, "fill"):
        new = tmp_path / "new.mp4"
        options = config.override(condition.parse(text).config(base), **{"video.crf": 12})
        redact(clip, new, config=options, overwrite=True, end=end_of(clip, FRAMES))
        figures[text] = row([look(clip, new, finder, mesh, FRAMES)])
        if text != "fill" and figures[text][1] is not None:
            mouths.append(figures[text][1])
    drawn, covered = figures["identity:mesh=true"], figures["fill"]
    faces, _, _, direction, share = drawn[:5]
    assert faces >= FRAMES - 2
    assert share >= 0.95
    assert direction < 9.0
    assert not mouths or np.median(mouths) > 0.4
    assert covered[4] <= 0.2, "a solid cover is no face"
    assert np.isfinite(drawn[8]) or drawn[8] is None
