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
    for text in ("identity:mesh=true", "fill"):
        new = tmp_path / "new.mp4"
        options = config.override(condition.parse(text).config(base), **{"video.crf": 12})
        redact(clip, new, config=options, overwrite=True, end=end_of(clip, FRAMES))
        figures[text] = row([look(clip, new, finder, mesh, FRAMES)])
    drawn, covered = figures["identity:mesh=true"], figures["fill"]
    faces, mouth, _, direction, share = drawn[:5]
    assert faces >= FRAMES - 2
    assert share >= 0.95
    assert direction < 9.0
    assert mouth is None or mouth > 0.4
    assert covered[4] <= 0.2, "a solid cover is no face"
    assert np.isfinite(drawn[8]) or drawn[8] is None
