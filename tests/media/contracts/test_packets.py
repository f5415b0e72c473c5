"""What is copied carries what a writer must know of it; nobody opens the input a second time."""

from __future__ import annotations

import gc

import av
import pytest

from stream_anon.config import VideoConfig
from stream_anon.errors import OutputError
from stream_anon.media.compare import describe
from stream_anon.media.input.source import FileSource
from stream_anon.media.output.sink import FileSink
from stream_anon.media.output.streams import plan_streams
from stream_anon.media.packets import Gap, Packet, StreamTemplate
from tests.media.clips import make_clip

CODECS = {"aac": ".mp4", "flac": ".mkv", "libopus": ".mkv", "mp3": ".mkv", "pcm_s16le": ".mkv"}


@pytest.mark.parametrize("codec", CODECS)
def test_a_template_outlives_its_container(tmp_path, codec):
    clip = make_clip(tmp_path / f"clip{CODECS[codec]}", audio=[codec], count=5)
    with av.open(str(clip)) as container:
        stream = container.streams.audio[0]
        private, rate = stream.codec_context.extradata, stream.codec_context.sample_rate
        template = StreamTemplate(stream)
    del stream, container
    gc.collect()
    assert template.private_data == private
    with av.open(str(tmp_path / "out.mkv"), "w") as output:
        made = template.add_to(output, private)
        assert made.codec_context.sample_rate == rate
        assert made.codec_context.extradata == private
        other = template.add_to(output, b"another")
        assert other.codec_context.extradata == b"another"
    assert template.private_data == private


def test_every_packet_carries_the_template_of_its_stream(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", audio=["aac", "flac"], subtitles="srt", count=30)
    with FileSource(clip) as source:
        packets = [item for item in source if isinstance(item, Packet)]
        streams = {s.index: s for s in source.info.streams}
    assert {streams[p.stream].kind for p in packets} == {"audio", "subtitle"}
    assert all(p.template is streams[p.stream].template is not None for p in packets)
    assert all(streams[s.index].template is None for s in source.info.video)


def test_the_sink_needs_no_input(tmp_path, redact, monkeypatch):
    """The file is gone, and would be noticed by every way to open one."""
    clip = make_clip(tmp_path / "clip.mkv", audio=["aac", "flac"], subtitles="srt", count=12)
    wanted = describe(clip)
    with FileSource(clip) as source:
        plan = plan_streams(source.info, tmp_path / "out.mkv", VideoConfig())
        items = list(source)
        clip.unlink()
        from stream_anon.media.input import probe

        monkeypatch.setattr(probe, "open_input", None)
        from stream_anon.config import FaultConfig
        from stream_anon.methods.fill import Fill
        from stream_anon.pipeline.painting.gate import Compositor

        gate = Compositor(Fill(), FaultConfig())
        with FileSink(tmp_path / "out.mkv", plan, source.info, VideoConfig()) as sink:
            for item in items:
                if isinstance(item, Packet):
                    sink.copy(item)
                else:
                    sink.write(gate.clear(item, ()))
    monkeypatch.undo()
    made = describe(tmp_path / "out.mkv")
    assert [s.digest for s in made.streams] == [s.digest for s in wanted.streams]


def test_a_stream_without_a_template_is_not_guessed_at(tmp_path):
    from dataclasses import replace

    clip = make_clip(tmp_path / "clip.mkv", audio=["aac"], count=3)
    with FileSource(clip) as source:
        info = source.info
        plan = plan_streams(info, tmp_path / "out.mkv", VideoConfig())
        bare = replace(info, streams=tuple(replace(s, template=None) for s in info.streams))
        with pytest.raises(OutputError, match="nothing is known of the codec of stream 1"):
            FileSink(tmp_path / "out.mkv", plan, bare, VideoConfig())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mkv"]


def test_a_gap_is_plain_data():
    assert Gap(0, "reconnected") == Gap(0, "reconnected")
    assert Gap(0, "reconnected") != Gap(1, "reconnected")
