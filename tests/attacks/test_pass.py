"""Attempts 1 to 5: forge the pass, or go around the gate."""

from __future__ import annotations

import ast
import copy
import pickle
from pathlib import Path

import pytest

import stream_anon
from stream_anon.config import Config
from stream_anon.errors import GateError
from stream_anon.media.cleared import Cleared, FallbackLevel, claim_seal
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.sink import FileSink
from stream_anon.methods import Pixelate
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.plan import make_plan
from tests.fakes import MemoryFrame, noise

PACKAGE = Path(stream_anon.__file__).parent
ROOT = PACKAGE.parent


def cleared():
    return Compositor(Pixelate(), Config().fault).clear(MemoryFrame(noise()), [])


@pytest.mark.parametrize("seal", [None, object(), True, "seal"])
def test_1_no_pass_without_the_seal(seal):
    with pytest.raises(GateError):
        Cleared(MemoryFrame(noise()), (), FallbackLevel.METHOD, seal)


def test_2_the_seal_is_claimed_once():
    with pytest.raises(GateError):
        claim_seal()


def test_2_no_subclass():
    with pytest.raises(GateError):
        type("Forged", (Cleared,), {})


@pytest.mark.parametrize("double", [copy.copy, copy.deepcopy, pickle.dumps])
def test_2_no_copy(double):
    with pytest.raises(GateError):
        double(cleared())


def test_3_one_frame_one_release():
    one = cleared()
    one.take()
    with pytest.raises(GateError):
        one.take()


class LookAlike:
    def __init__(self, frame):
        self.stream, self.index, self.pts, self.frame = 0, 0, 0, frame

    def take(self):
        return self.frame


def test_4_the_sink_takes_nothing_else(clip, tmp_path):
    plan = make_plan(clip, tmp_path / "out.mp4", Config())
    with FileSource(clip) as source:
        raw = next(source.frames())
        sink = FileSink(plan.request.output, plan.media, source.info, Config().video)
        for wrong in (raw, raw.to_av(), LookAlike(raw), None):
            with pytest.raises(GateError):
                sink.write(wrong)
        sink.abort()
    assert [path.name for path in tmp_path.iterdir()] == ["scene.mp4"]


def _calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            named = isinstance(function, ast.Attribute)
            yield function.attr if named else getattr(function, "id", ""), node


def _sources():
    for folder in (PACKAGE, ROOT / "pipelines"):
        for path in folder.rglob("*.py"):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def test_5_only_the_compositor_claims_the_seal_and_makes_passes():
    claims = [name for name, tree in _sources() for call, _ in _calls(tree) if call == "claim_seal"]
    makes = {name for name, tree in _sources() for call, _ in _calls(tree) if call == "Cleared"}
    assert claims == ["stream_anon/pipeline/painting/gate.py"]
    assert makes == {"stream_anon/pipeline/painting/gate.py"}


APART = tuple(
    f"stream_anon/{name}" for name in ("evaluation/", "training/", "visual_mixer/", "cli/demo.py")
)
"""Tools for images and data sets; nothing on the way of a redacted stream imports them
(``tests/test_architecture.py``)."""


def test_5_nobody_else_opens_an_encoder_for_frames():
    found = {
        name
        for name, tree in _sources()
        for call, _ in _calls(tree)
        if call in ("add_stream", "imwrite", "imencode", "VideoWriter")
        and not name.startswith(APART)
    }
    assert found == {
        "stream_anon/media/output/_encode.py",
        # Takes cleared frames alone, as the sink does: tests/media/contracts/test_ends.py.
        "stream_anon/media/output/photo_sink.py",
        # Shows one frame as it was beside what becomes of it, asked for, with a warning and for its
        # owner only: tests/cli/test_preview.py.
        "stream_anon/pipeline/painting/preview.py",
    }


def test_5_only_the_sink_uses_the_muxer():
    folder = "stream_anon.media.output"
    users = set()
    for name, tree in _sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in (
                f"{folder}._mux", f"{folder}._encode",
            ):  # fmt: skip
                users.add((name.rpartition("/")[2], node.module.rpartition(".")[2]))
    assert users == {("sink.py", "_mux"), ("_mux.py", "_encode")}
