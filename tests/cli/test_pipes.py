"""Standard input and output as video: what fits through, and what a pipe cannot promise."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream_anon.errors import InputError, OutputError, UsageError
from stream_anon.media.compare import describe, differences
from stream_anon.media.frame import Frame
from stream_anon.media.input.pipe import PipeSource
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.pipe import PIPES, pipe_suffix
from tests.attacks.scene import leaks, write_clip
from tests.conftest import ROOT
from tests.media.clips import make_clip

PIPELINE = """
from tests.attacks.scene import Scripted
from stream_anon.methods import make_method
from stream_anon.pipeline.analysis import DetectAndTrack
from stream_anon.pipeline.ends import make_sink, make_source
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.targets import make_targets
from stream_anon.pipeline.run import Pipeline


def broken(index, faces):
    if BREAKS and index >= 20:
        raise ValueError("broken")
    return faces


def build(plan):
    config = plan.request.config
    source = make_source(plan)
    print("what somebody prints must not end up in the video")
    analyzer = DetectAndTrack(Scripted(broken), config)
    compositor = Compositor(make_targets(config), config.fault)
    return Pipeline(plan, source, analyzer, compositor, make_sink(plan, source.info))
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "scene.mp4", 40)


def remuxed(clip: Path, target: Path, **options: str) -> Path:
    """The same packets in another container."""
    import av

    with av.open(str(clip)) as source, av.open(str(target), "w", options=options) as made:
        streams = {s.index: made.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                made.mux(packet)
    return target


def through(
    folder: Path, data: bytes, *words: str, breaks: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """The command line with ``data`` piped in and its output caught."""
    (folder / "own.py").write_text(f"BREAKS = {breaks}\n{PIPELINE}")
    arguments = [sys.executable, "-m", "stream_anon", "redact", *words, "--pipeline", "own.py"]
    arguments += ["--method", "fill", "--encoder-preset", "ultrafast"]
    return subprocess.run(
        arguments, input=data, capture_output=True, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "target"),
    [
        ("a.mkv", {}, "-"),
        ("a.ts", {}, "-.ts"),
        ("a.mp4", {"movflags": "frag_keyframe+empty_moov"}, "-.mp4"),
        ("b.mp4", {"movflags": "faststart"}, "-"),
        ("a.flv", {}, "-.mkv"),
    ],
)
def test_a_video_goes_through_and_comes_out_as_from_a_file(tmp_path, clip, name, options, target):
    path = remuxed(clip, tmp_path / name, **options)
    done = through(tmp_path, path.read_bytes(), "-", "-o", target, "--report", "r.json")
    assert done.returncode == 0, done.stderr
    out = tmp_path / f"out{PIPES[target]}"
    out.write_bytes(done.stdout)
    assert b"somebody prints" in done.stderr
    assert b"40 frames" in done.stderr
    wanted = describe(path)
    changes = differences(wanted, describe(out))
    if path.suffix == out.suffix:
        assert changes == []
    assert len(describe(out).streams[0].times) == 40
    assert leaks(tmp_path, path) == []
    report = json.loads((tmp_path / "r.json").read_text())
    for part, data in (("input", path.read_bytes()), ("output", done.stdout)):
        assert report[part]["bytes"] == len(data)
        assert report[part]["sha256"] == hashlib.sha256(data).hexdigest()
    assert report["verification"]["passed"] is None
    assert "cannot be read" in report["verification"]["problem"]


def test_a_pipe_into_a_file_is_whole_or_not_there(tmp_path, clip):
    path = remuxed(clip, tmp_path / "a.mkv")
    assert through(tmp_path, path.read_bytes(), "-", "-o", "out.mp4").returncode == 0
    assert len(describe(tmp_path / "out.mp4").streams[0].times) == 40
    half = path.read_bytes()[: path.stat().st_size // 2]
    done = through(tmp_path, half, "-", "-o", "other.mkv")
    assert done.returncode == 1
    assert b"standard input: breaks off" in done.stderr
    assert not (tmp_path / "other.mkv").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_run_that_fails_has_written_a_part_and_says_so_by_its_exit_code(tmp_path, clip):
    path = remuxed(clip, tmp_path / "a.mkv")
    done = through(tmp_path, path.read_bytes(), "-", "-o", "-.ts", breaks=True)
    assert done.returncode == 1
    assert b"broken" in done.stderr
    (tmp_path / "part.ts").write_bytes(done.stdout)
    assert leaks(tmp_path, path) == []


def test_a_part_is_not_ended_as_if_it_were_the_whole(tmp_path, clip):
    import io

    from stream_anon.config import FaultConfig, VideoConfig
    from stream_anon.media.output.pipe import PipeSink
    from stream_anon.media.output.streams import plan_streams
    from stream_anon.methods.fill import Fill
    from stream_anon.pipeline.painting.gate import Compositor

    written = io.BytesIO()
    with FileSource(clip, copied=()) as source:
        plan = plan_streams(source.info, Path("-.mkv"), VideoConfig(audio="drop"))
        sink = PipeSink(written, plan, source.info, VideoConfig(encoder_preset="ultrafast"))
        gate = Compositor(Fill(), FaultConfig())
        for frame in source.frames():
            sink.write(gate.clear(frame, ()))
        before = written.getvalue()
        sink.abort()
        sink.abort()
    assert written.getvalue() == before


def test_a_reader_that_goes_away_ends_the_run(tmp_path, clip):
    path = remuxed(clip, tmp_path / "a.mkv")
    (tmp_path / "own.py").write_text(f"BREAKS = False\n{PIPELINE}")
    done = subprocess.run(
        f"{sys.executable} -m stream_anon redact a.mkv -o - --method fill --pipeline own.py"
        f" | head -c 100 > /dev/null; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", cwd=tmp_path, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"standard output: cannot be written (broken pipe)" in done.stderr
    assert path.exists()


def test_what_cannot_be_read_from_a_pipe_says_so(tmp_path, clip):
    plain = remuxed(clip, tmp_path / "a.mp4")
    for data, words in (
        (plain.read_bytes(), b"its index is not at its beginning"),
        (b"", b"standard input: is empty"),
        (b"no video at all. " * 1000, b"is no video file"),
    ):
        done = through(tmp_path, data, "-", "-o", "out.mkv")
        assert done.returncode == 1
        assert words in done.stderr, done.stderr
        assert done.stderr.count(b"\n") <= 2
        assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-"], b"needs a name for the result"),
        (["-", "a.mkv", "-o", "out"], b"a pipe holds one video"),
        (["a.mkv", "b.mkv", "-o", "-"], b"a pipe holds one video"),
        (["-", "-o", "-.avi"], b"cannot be written to a pipe"),
        (["-", "-o", "-", "--verify", "full"], b"cannot be verified"),
        (["-", "--preview", "1"], b"--preview takes one file"),
        (["a.mkv", "--preview", "1", "-o", "-"], b"never to a pipe"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, clip, words, told):
    for name in ("a.mkv", "b.mkv"):
        remuxed(clip, tmp_path / name)
    done = through(tmp_path, (tmp_path / "a.mkv").read_bytes(), *words)
    assert done.returncode == 2
    assert told in done.stderr, done.stderr
    assert done.stdout == b""


def test_a_photo_is_not_written_to_a_pipe(tmp_path, clip):
    import cv2
    import numpy as np

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64, 3), np.uint8))
    done = through(tmp_path, b"", "a.png", "-o", "-")
    assert done.returncode == 2
    assert b"a photo is written to a file" in done.stderr


def test_names_of_pipes():
    assert {pipe_suffix(Path(name)) for name in PIPES} == set(PIPES.values())
    assert pipe_suffix(Path("a/-.avi")) is None
    assert pipe_suffix(Path("out.mkv")) is None
    with pytest.raises(UsageError, match="cannot be written to a pipe"):
        pipe_suffix(Path("-.mov"))


class Trickle:
    """A pipe that gives a little at a time."""

    def __init__(self, data: bytes, step: int = 997) -> None:
        self._data, self._step, self._at = data, step, 0

    def read1(self, count: int) -> bytes:
        block = self._data[self._at : self._at + min(count, self._step)]
        self._at += len(block)
        return block

    read = read1


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
@pytest.mark.parametrize(("start", "end"), [(None, None), (0.4, 1.0)])
def test_the_same_frames_as_from_a_file(tmp_path, clip, suffix, start, end):
    path = remuxed(clip, tmp_path / f"a{suffix}")
    with FileSource(path, start=start, end=end) as source:
        wanted = listed(source)
    pipe = PipeSource(Trickle(path.read_bytes()))
    copied = [s.index for s in pipe.info.streams if s.kind == "audio"]
    pipe.prepare(start, end, copied, False)
    assert pipe.info.path is None
    assert not pipe.live
    assert listed(pipe) == wanted
    with pytest.raises(InputError, match="can be read only once"):
        list(pipe)
    pipe.close()
    pipe.close()


def listed(source) -> list[tuple]:
    return [
        (item.stream, item.index, item.seconds, item.luma(4).tobytes())
        if isinstance(item, Frame)
        else (item.stream, float(item.data.pts * item.data.time_base), bytes(item.data))
        for item in source
    ]


def test_frames_come_before_the_pipe_has_ended(tmp_path):
    """Nothing waits for the whole: a slow camera's recording is worked on while it comes."""
    path = make_clip(tmp_path / "a.ts", count=200, size=(320, 240), speed=40.0)
    data = path.read_bytes()

    class Slow(Trickle):
        given = 0

        def read1(self, count):
            block = super().read1(count)
            self.given += len(block)
            return block

        read = read1

    slow = Slow(data * 4, 1 << 14)
    pipe = PipeSource(slow)
    pipe.prepare(None, None, (), False)
    next(iter(pipe))
    assert slow.given < len(data * 4)


def test_a_disk_behind_the_pipe_that_is_full(tmp_path, clip):
    path = remuxed(clip, tmp_path / "a.mkv")
    (tmp_path / "own.py").write_text(f"BREAKS = False\n{PIPELINE}")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stream_anon", "redact", str(path), "-o", "-", "--method",
             "fill", "--pipeline", "own.py"],
            stdout=full, stderr=subprocess.PIPE, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=100, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert b"standard output: cannot be written (no space left" in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_what_the_pipe_said_is_told_even_where_ffmpeg_swallows_it():
    from stream_anon.media.output.pipe import PipeSink, _Pipe

    class Gone:
        def write(self, data):
            raise BrokenPipeError(32, "Broken pipe")

    sink = PipeSink.__new__(PipeSink)
    sink._name, sink._pipe = "standard output", _Pipe(Gone())
    with pytest.raises(BrokenPipeError):
        sink._pipe.write(b"data")
    words = r"^standard output: cannot be written \(broken pipe\)$"
    with pytest.raises(OutputError, match=words), sink._errors():
        raise ValueError("error in PyAV callback")
