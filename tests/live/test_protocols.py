"""Kinds of addresses, each against a peer on the loopback: RTMP in, RTSP out with a login, TCP that
is listened on, webcams as far as that goes without one, and SRT, which is missing.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from stream_anon.errors import InputError, OutputError
from stream_anon.live.input.connect import connect, options, place
from stream_anon.live.input.decode import LiveDecoder
from stream_anon.live.output.targets import Template, open_url
from tests.live import scene
from tests.live.harness import ROOT, Live, config
from tests.live.peers.rtmp_server import Server
from tests.live.peers.rtsp_recorder import Recorder
from tests.live.peers.rtsp_server import Camera
from tests.live.test_faults import camera, judge
from tests.live.test_outputs import free_port

PASSWORD = "Rohrdommel-4417"

pytestmark = pytest.mark.timeout(400)


@contextlib.contextmanager
def sender(port: int):
    """A process that sends the scene as MPEG-TS to a port that is listened on, again and again."""
    code = f"""
import time
from fractions import Fraction
import av
from stream_anon.live.output.targets import Template, open_url
from tests.live import scene
frames = scene.encoded(320, 240)
while True:
    try:
        with open("/dev/null"):
            template = Template(frames[0][0], 25.0)
        out = open_url("tcp://127.0.0.1:{port}", "peer", "tcp", 5.0, template, (), {{}})
    except Exception:
        time.sleep(0.2)
        continue
    began, index = time.monotonic(), 0
    while True:
        time.sleep(max(0.0, began + index / 25 - time.monotonic()))
        data, key = frames[index % len(frames)]
        out.write(data, index * 3600, 3600, key)
        index += 1
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_rtmp_and_a_sender_that_comes_to_us_are_cameras_too(tmp_path):
    port = free_port()
    with Server() as rtmp:
        sources = [
            {"name": "rtmp", "source": f"rtmp://127.0.0.1:{rtmp.port}/live/${{RTMP_KEY}}"},
            {"name": "listen", "source": f"tcp://127.0.0.1:{port}?listen=1"},
        ]
        cameras = [
            {
                "latency": "low", "timeout": 4.0,
                "outputs": [{"record": str(tmp_path / f"{one['name']}.mkv")}], **one,
            }
            for one in sources
        ]  # fmt: skip
        os.environ["RTMP_KEY"] = PASSWORD
        try:
            chosen = Live(config(tmp_path, cameras))
        finally:
            # A run overwrites and removes what it has taken.
            os.environ.pop("RTMP_KEY", None)
        with chosen as live:
            with sender(port):
                live.more("listen", 30)
                live.more("rtmp", 30)
            # Both go and come back: we listen again, and ask the server again.
            rtmp.kick()
            live.until(lambda: live.reader("rtmp", "connects") >= 2)
            live.more("rtmp", 10)
            with sender(port):
                live.until(lambda: live.reader("listen", "connects") >= 2)
                live.more("listen", 10)
        assert PASSWORD not in live.lines.text
        assert rtmp.asked.count("play") >= 2
    for name in ("rtmp", "listen"):
        judge(tmp_path / f"{name}.mkv")


def test_a_stream_is_published_with_a_login(tmp_path):
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    basic, digest = (Recorder("writer", PASSWORD, kind) for kind in ("Basic", "Digest"))
    strict = Recorder("writer", "another", "Digest")
    with basic, digest, strict, Camera() as server:
        outputs = [
            {
                "url": f"rtsp://127.0.0.1:{one.port}/out", "username": "writer",
                "password_file": str(password),
            }
            for one in (basic, digest, strict)
        ]  # fmt: skip
        one = camera("a", server, tmp_path, outputs=outputs)
        with Live(config(tmp_path, [one])) as live:
            live.until(lambda: basic.packets > 60, "basic")
            live.until(lambda: digest.packets > 60, "digest")
            live.until(lambda: strict.refused >= 2, "strict")
            live.more("a", 10)
        assert strict.packets == 0
        assert PASSWORD not in live.lines.text
        assert live.lines.text.count("unauthorized") or live.lines.text.count("401")
        assert PASSWORD.encode() not in digest.told


def test_a_webcam_is_opened_by_its_device(tmp_path):
    url = "v4l2:///dev/video7"
    assert place(url) == "/dev/video7"
    kind, chosen = options(url, "tcp", 8.0)
    assert (kind, chosen) == ("v4l2", {})
    av.format.ContainerFormat(kind, "r")
    with pytest.raises(InputError, match="no such file"):
        connect("v4l2:///dev/there-is-none", "cam", "tcp", 1.0)
    # A file that is no device.
    path = tmp_path / "video0"
    path.write_bytes(b"x" * 4096)
    with pytest.raises(InputError):
        connect(f"v4l2://{path}", "cam", "tcp", 1.0)


@pytest.fixture
def webcam(tmp_path, monkeypatch):
    """A webcam at /dev/video7 of every process that is started, and the file that unplugs it."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("there is no C compiler to make a webcam with")
    library, film, gone = tmp_path / "webcam.so", tmp_path / "film", tmp_path / "gone"
    source = ROOT / "tests" / "live" / "peers" / "webcam.c"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True
    )
    with film.open("wb") as file:
        for index in range(scene.FRAMES):
            av_frame = av.VideoFrame.from_ndarray(scene.frame(index, 320, 240), format="rgb24")
            file.write(bytes(av_frame.reformat(format="yuyv422").planes[0]))
    for name, value in (
        ("LD_PRELOAD", library), ("WEBCAM_DEVICE", "/dev/video7"), ("WEBCAM_FILM", film),
        ("WEBCAM_GONE", gone), ("WEBCAM_WIDTH", 320), ("WEBCAM_HEIGHT", 240),
    ):  # fmt: skip
        monkeypatch.setenv(name, str(value))
    return gone


def test_a_webcam_is_a_camera_and_may_be_unplugged(tmp_path, webcam):
    target = tmp_path / "cam.mkv"
    one = {
        "name": "cam", "source": "v4l2:///dev/video7", "latency": "low",
        "outputs": [{"record": str(target)}],
    }  # fmt: skip
    with Live(config(tmp_path, [one])) as live:
        live.more("cam", 20)
        webcam.touch()
        live.until(lambda: live.reader("cam", "failures") >= 2)
        live.until(lambda: live.painter("cam", "slates") > 5)
        webcam.unlink()
        live.more("cam", 20)
        assert live.state("cam")["outputs"]["0-record"]["opens"] == 1
    judge(target)


@pytest.mark.parametrize("codec", ["rawvideo", "mjpeg"])
def test_what_webcams_send_is_decoded(codec):
    """Raw pictures in YUYV and JPEGs, as ``v4l2`` hands them on, frame by frame."""
    form = {"rawvideo": "yuyv422", "mjpeg": "yuvj422p"}[codec]
    file = io.BytesIO()
    with av.open(file, "w", format="nut") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, form
        for index in range(5):
            av_frame = av.VideoFrame.from_ndarray(scene.frame(index, 320, 240), format="rgb24")
            av_frame = av_frame.reformat(format=form)
            av_frame.pts, av_frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(av_frame))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        decoder = LiveDecoder(container.streams.video[0], "cam", low_delay=True)
        found = []
        for packet in container.demux(video=0):
            if packet.size:
                packet.pts = packet.dts = len(found) * 3600
                packet.time_base = Fraction(1, 90000)
                found += list(decoder.feed(packet))
        decoder.close()
    assert len(found) >= 4
    for index, one in enumerate(found):
        luma = one.to_av().reformat(format="gray").to_ndarray()
        assert scene.number(luma) == index
        assert not one.corrupt


def has_srt() -> bool:
    try:
        av.open("srt://127.0.0.1:1?mode=caller", timeout=0.2).close()
    except av.error.ProtocolNotFoundError:
        return False
    except (av.FFmpegError, OSError):
        pass
    return True


@pytest.mark.skipif(has_srt(), reason="this PyAV's FFmpeg has SRT")
def test_srt_is_refused_with_what_is_missing():
    with pytest.raises(InputError, match="FFmpeg of this PyAV was built without 'srt'"):
        connect("srt://127.0.0.1:9000", "cam", "tcp", 1.0)
    template = Template(scene.encoded(320, 240)[0][0], 25.0)
    with pytest.raises(OutputError, match="FFmpeg of this PyAV was built without 'srt'"):
        open_url("srt://127.0.0.1:9000", "out", "tcp", 1.0, template, (), {})
    template.close()
