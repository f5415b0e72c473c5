"""Only what is cleared gets in, and the target is whole or not there."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_anon.config import FaultConfig, VideoConfig
from stream_anon.errors import GateError, OutputError, UsageError
from stream_anon.media.cleared import Cleared
from stream_anon.media.compare import describe
from stream_anon.media.input.source import FileSource
from stream_anon.media.output import encoders
from stream_anon.media.output.sink import FileSink, NullSink
from stream_anon.media.output.streams import MediaPlan, plan_streams
from stream_anon.media.packets import Packet
from stream_anon.methods.fill import Fill
from stream_anon.pipeline.painting.gate import Compositor
from tests.conftest import ROOT
from tests.media.clips import make_clip
from tests.media.conftest import pass_through

CONFIG = VideoConfig(encoder_preset="ultrafast")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", audio=["aac"], count=12)


@pytest.fixture
def source(clip) -> Iterator[FileSource]:
    with FileSource(clip) as reader:
        yield reader


@pytest.fixture
def gate() -> Compositor:
    return Compositor(Fill(), FaultConfig())


def opened(source: FileSource, target: Path) -> FileSink:
    return FileSink(target, planned(source, target), source.info, CONFIG)


def planned(source: FileSource, target: Path) -> MediaPlan:
    return plan_streams(source.info, target, CONFIG)


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# The door.


def test_only_cleared_frames_get_in(tmp_path, source, gate):
    sink = opened(source, tmp_path / "out.mp4")
    frame = next(source.frames())

    class Likeness:
        def take(self):
            return frame

    for thing in (frame, frame.to_av(), None, Likeness()):
        with pytest.raises(GateError, match="not a cleared frame"):
            sink.write(thing)
    sink.write(gate.clear(frame, ()))
    sink.abort()
    assert left(tmp_path) == []


def test_a_pass_is_good_for_one_frame(tmp_path, source, gate):
    with opened(source, tmp_path / "out.mp4") as sink:
        cleared = gate.clear(next(source.frames()), ())
        sink.write(cleared)
        with pytest.raises(GateError, match="already released"):
            sink.write(cleared)


def test_times_must_grow(tmp_path, source, gate):
    frames = list(source.frames())
    with opened(source, tmp_path / "out.mp4") as sink:
        sink.write(gate.clear(frames[3], ()))
        with pytest.raises(GateError, match="came late"):
            sink.write(gate.clear(frames[2], ()))


def test_streams_that_are_not_planned_are_refused(tmp_path, source, gate):
    sink = opened(source, tmp_path / "out.mp4")
    frame = next(source.frames())
    frame.stream = 1
    with pytest.raises(GateError, match="not redacted"):
        sink.write(gate.clear(frame, ()))
    packet = next(item.data for item in source if isinstance(item, Packet))
    with pytest.raises(GateError, match="not copied"):
        sink.copy(Packet(0, packet))
    sink.abort()


def test_nothing_after_the_end(tmp_path, source, gate):
    sink = opened(source, tmp_path / "out.mp4")
    frames = source.frames()
    sink.write(gate.clear(next(frames), ()))
    sink.finish()
    with pytest.raises(GateError):
        sink.write(gate.clear(next(frames), ()))
    with pytest.raises(GateError):
        sink.finish()
    assert left(tmp_path) == ["out.mp4"]


# Whole or not there.


def test_the_target_appears_only_when_it_is_whole(tmp_path, source, gate):
    target = tmp_path / "out.mp4"
    sink = opened(source, target)
    for frame in source.frames():
        sink.write(gate.clear(frame, ()))
        assert not target.exists()
        assert sink.temporary.name.startswith(".")
        assert sink.temporary.suffix == ".mp4"
    sink.finish()
    assert left(tmp_path) == ["out.mp4"]
    assert len(describe(target).of("video")[0].times) == 12


def test_a_run_that_ends_in_an_error_leaves_the_old_file(tmp_path, source, gate):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"what was here before")
    sink = opened(source, target)
    sink.write(gate.clear(next(source.frames()), ()))
    with pytest.raises(GateError), sink:
        sink.write(None)  # type: ignore[arg-type]
    assert target.read_bytes() == b"what was here before"
    assert left(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("frames", [0, 1, 12])
def test_giving_up_leaves_nothing(tmp_path, source, gate, hard, frames):
    sink = opened(source, tmp_path / "out.mp4")
    for _, frame in zip(range(frames), source.frames(), strict=False):
        sink.write(gate.clear(frame, ()))
    sink.abort(hard)
    sink.abort()
    assert left(tmp_path) == []


def test_the_old_file_is_replaced_in_one_step(tmp_path, clip):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with target.open("rb") as held:
        pass_through(clip, target)
        assert held.read() == b"old"
    assert len(describe(target).of("video")[0].times) == 12


def test_a_link_is_followed_to_the_file_it_means(tmp_path, clip):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "out.mp4").write_bytes(b"old")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real" / "out.mp4")
    pass_through(clip, tmp_path / "link.mp4")
    assert (tmp_path / "link.mp4").is_symlink()
    assert (tmp_path / "real" / "out.mp4").stat().st_size > 500
    assert left(tmp_path / "real") == ["out.mp4"]


@pytest.mark.parametrize("way", ["same", "dots", "symlink", "hardlink"])
def test_the_input_is_never_the_target(tmp_path, clip, way):
    path = tmp_path / "in.mp4"
    path.write_bytes(clip.read_bytes())
    target = {
        "same": path,
        "dots": tmp_path / ".." / tmp_path.name / "in.mp4",
        "symlink": tmp_path / "link.mp4",
        "hardlink": tmp_path / "link.mp4",
    }[way]
    if way == "symlink":
        target.symlink_to(path)
    if way == "hardlink":
        target.hardlink_to(path)
    with pytest.raises(UsageError, match="is the input itself"):
        pass_through(path, target)
    assert path.read_bytes() == clip.read_bytes()
    assert not list(tmp_path.glob(".*"))


# What stands in the way.


def test_no_folder(tmp_path, clip):
    with pytest.raises(OutputError, match=r"gone/out\.mp4: no such file or directory"):
        pass_through(clip, tmp_path / "gone" / "out.mp4")


def test_a_folder_or_device_is_no_target(tmp_path, clip, source):
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        pass_through(clip, tmp_path / "out.mp4")
    (tmp_path / "dev.mp4").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="is no regular file"):
        pass_through(clip, tmp_path / "dev.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path, clip):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        pass_through(clip, tmp_path / "out.mp4")


def test_no_permission_as_told_by_the_system(tmp_path, clip, monkeypatch):
    opened_plainly = os.open

    def refuse(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return opened_plainly(path, flags, *rest)

    monkeypatch.setattr("stream_anon.media.part_file.os.open", refuse)
    with pytest.raises(OutputError, match=r"out\.mp4: permission denied"):
        pass_through(clip, tmp_path / "out.mp4")


def test_an_encoder_that_is_missing(tmp_path, clip, monkeypatch):
    encoder = encoders.ENCODERS["hevc"]
    missing = type(encoder)(**{f: getattr(encoder, f) for f in encoder.__slots__} | {"name": "nox"})
    monkeypatch.setitem(encoders.ENCODERS, "hevc", missing)
    with pytest.raises(OutputError, match="the encoder nox is missing"):
        pass_through(clip, tmp_path / "out.mp4", codec="hevc")
    assert left(tmp_path) == []


def test_the_temporary_file_is_taken_away(tmp_path, source, gate):
    sink = opened(source, tmp_path / "out.mp4")
    for item in source:
        if isinstance(item, Packet):
            sink.copy(item)
        else:
            sink.write(gate.clear(item, ()))
    sink.temporary.unlink()
    with pytest.raises(OutputError, match=r"out\.mp4"):
        sink.finish()
    assert left(tmp_path) == []


FULL = """
    import resource, sys
    from pathlib import Path
    from stream_anon.errors import OutputError
    from tests.media.conftest import pass_through
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    try:
        pass_through(Path(sys.argv[1]), Path(sys.argv[2]), crf=1.0)
    except OutputError as error:
        print(error)
        sys.exit(1)
"""


@pytest.mark.parametrize(("suffix", "limit"), [(".mp4", 10), (".mp4", 9000), (".mkv", 9000)])
def test_a_full_disk(tmp_path, suffix, limit):
    source = make_clip(tmp_path / "in.mkv", codec="ffv1", size=(192, 160), count=30)
    out = tmp_path / "out"
    out.mkdir()
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), source, out / f"x{suffix}", str(limit)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    assert result.stdout.startswith(str(out / f"x{suffix}"))
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == ""
    assert left(out) == []


KILLED = """
    import sys, time
    from pathlib import Path
    from stream_anon.config import FaultConfig, VideoConfig
    from stream_anon.methods.fill import Fill
    from stream_anon.pipeline.painting.gate import Compositor
    from stream_anon.media.output.sink import FileSink
    from stream_anon.media.input.source import FileSource
    from stream_anon.media.output.streams import plan_streams
    source = FileSource(sys.argv[1], copied=())
    target, config = Path(sys.argv[2]), VideoConfig(audio="drop")
    sink = FileSink(target, plan_streams(source.info, target, config), source.info, config)
    gate = Compositor(Fill(), FaultConfig())
    for frame in source.frames():
        sink.write(gate.clear(frame, ()))
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_process_that_is_killed_leaves_nothing_under_the_target_s_name(tmp_path, clip):
    target = tmp_path / "out.mp4"
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), clip, target],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert not target.exists()


def test_limits_of_this_process_are_untouched():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


# For benchmarks.


def test_the_null_sink_encodes_and_keeps_nothing(tmp_path, source, gate):
    plan = planned(source, tmp_path / "out.mp4")
    source.select(plan.copied)
    with NullSink(plan, source.info, CONFIG) as sink:
        for item in source:
            if isinstance(item, Packet):
                sink.copy(item)
            else:
                sink.write(gate.clear(item, ()))
    assert sink.frames == {0: 12}
    assert sink.bytes > 1000
    assert left(tmp_path) == []
    with pytest.raises(GateError):
        sink.write(object())  # type: ignore[arg-type]


def test_cleared_cannot_be_made_here():
    with pytest.raises(GateError):
        Cleared(None, (), 0, object())  # type: ignore[arg-type]
