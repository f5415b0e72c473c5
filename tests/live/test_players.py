"""Every output as programs of others see it: FFmpeg's from Debian, GStreamer, and Chromium.

They say on standard error what they do not like; nothing may stand there. What is not installed is
skipped. Debian's packages are ffmpeg, chromium, gstreamer1.0-tools with -plugins-base, -good, -bad
and gstreamer1.0-libav.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.live.harness import Live, config
from tests.live.peers.rtsp_server import Camera
from tests.live.scene import RAW, likeness, side_of
from tests.live.test_outputs import free_port

FRAMES = 40
HEIGHT = 240
PATIENCE = 150.0
FOREIGN = "Found duplicated MOOV Atom. Skipped it"
"""Debian's FFmpeg 5.1 reads the init segment again at every reload of a growing playlist of
fragmented MP4, and says so; also of one that it writes itself (test below)."""
SILENT_SDL = {
    "SDL_AUDIODRIVER": "dummy", "SDL_VIDEODRIVER": "dummy", "SDL_RENDER_DRIVER": "software",
}  # fmt: skip

pytestmark = pytest.mark.timeout(400)


def needs(program: str) -> pytest.MarkDecorator:
    """Skip where a program is not installed."""
    absent = shutil.which(program) is None
    return pytest.mark.skipif(absent, reason=f"{program} is not installed")


def ours(told: str) -> list[str]:
    """Lines that are not foreign."""
    said, foreign = [], False
    for line in filter(str.strip, told.splitlines()):
        foreign = FOREIGN in line or (foreign and "Last message repeated" in line)
        if not foreign:
            said.append(line)
    return said


class Player:
    """A program that reads a stream, and what it says of it."""

    def __init__(self, *command: str) -> None:
        self.command = command
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env={**os.environ, **SILENT_SDL},
        )  # fmt: skip

    def end(self) -> str:
        """Wait for its end; what it said that is about us."""
        try:
            told, _ = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            told = self._process.communicate()[0] + "\n(does not end)"
        said = ours(told)
        if self._process.returncode:
            said.append(f"(ended with {self._process.returncode})")
        return "\n".join(said)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def ffmpeg(*source: str) -> Player:
    """Decodes so many frames; warnings are what it says."""
    wanted = ("-frames:v", str(FRAMES), "-f", "null", "-")
    return Player("ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", *source, *wanted)


def wait_bound(port: int) -> None:
    """Until somebody receives at a UDP port: who binds it late joins in the middle."""
    until = time.monotonic() + PATIENCE
    while f":{port:04X} " not in Path("/proc/net/udp").read_text():
        assert time.monotonic() < until, f"nobody receives at {port}"
        time.sleep(0.02)


@pytest.fixture
def playing(tmp_path):
    """Starts a run with these outputs; ends players that are left."""
    players: list[Player] = []

    def run(outputs, begun, after=lambda live: None):
        with Camera(320, HEIGHT) as server:
            camera = {"name": "a", "source": server.url, "latency": "low", "outputs": outputs}
            players.extend(begun)
            with Live(config(tmp_path, [camera])) as live:
                live.more("a", 10)
                players.extend(after(live) or [])
                for player in players:
                    said = player.end()
                    assert not said, f"{player.command}: {said}\n{live.lines.text}"

    yield run
    for player in players:
        player.kill()


@needs("ffmpeg")
def test_ffmpeg_reads_every_stream_without_a_word(tmp_path, playing):
    rtsp, rtmp, ts = (free_port() for _ in range(3))
    udp = free_port(socket.SOCK_DGRAM)
    begun = [
        ffmpeg("-rtsp_flags", "listen", "-i", f"rtsp://127.0.0.1:{rtsp}/out"),
        ffmpeg("-listen", "1", "-i", f"rtmp://127.0.0.1:{rtmp}/live/out"),
        ffmpeg("-i", f"tcp://127.0.0.1:{ts}?listen=1"),
        ffmpeg("-i", f"udp://127.0.0.1:{udp}"),
    ]
    wait_bound(udp)
    hls = tmp_path / "hls"
    outputs = [
        {"url": f"rtsp://127.0.0.1:{rtsp}/out"}, {"url": f"rtmp://127.0.0.1:{rtmp}/live/out"},
        {"url": f"tcp://127.0.0.1:{ts}"}, {"url": f"udp://127.0.0.1:{udp}"},
        {"hls": str(hls), "segment": "1s"},
    ]  # fmt: skip

    def grows(live):
        live.until(lambda: (hls / "index.m3u8").exists(), "a playlist")
        return [ffmpeg("-i", str(hls / "index.m3u8"))]

    playing(outputs, begun, grows)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with whole.mp4, whole.mkv, segments/ and hls/ of a run that has ended."""
    folder = tmp_path_factory.mktemp("recorded")
    outputs = [
        {"record": str(folder / "whole.mp4")}, {"record": str(folder / "whole.mkv")},
        {"record": str(folder / "segments"), "segment": "1s"},
        {"hls": str(folder / "hls"), "segment": "1s"},
    ]  # fmt: skip
    with Camera(320, HEIGHT) as server:
        camera = {"name": "a", "source": server.url, "latency": "low", "outputs": outputs}
        with Live(config(folder, [camera])) as live:
            live.more("a", 60)
            live.until(lambda: len(list((folder / "segments").glob("a-*.mp4"))) >= 2)
    return folder


def files(folder: Path) -> list[Path]:
    segments = sorted((folder / "segments").glob("a-*.mp4"))
    return [folder / "whole.mp4", folder / "whole.mkv", segments[1], folder / "hls" / "index.m3u8"]


@needs("ffprobe")
def test_ffprobe_reads_every_file_without_a_word(recorded):
    for path in files(recorded):
        entries = "stream=codec_name,width,height,pix_fmt,nb_read_frames"
        probe = subprocess.run(
            ["ffprobe", "-v", "warning", "-count_frames", "-show_entries", entries,
             "-of", "default=nw=1", str(path)],
            capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        assert not probe.stderr, path
        told = dict(line.split("=") for line in probe.stdout.splitlines())
        assert (told["codec_name"], told["pix_fmt"]) == ("h264", "yuv420p")
        assert (told["width"], told["height"]) == ("320", str(HEIGHT))
        assert int(told["nb_read_frames"]) >= 20


@needs("ffplay")
def test_ffplay_plays_every_file_to_its_end(recorded):
    # With -nodisp it does not look at the picture at all; the display is one that shows nothing.
    options = ("-autoexit", "-hide_banner", "-loglevel", "warning", "-nostats")
    for path in files(recorded):
        player = Player("ffplay", *options, str(path))
        assert player.end() == "", path


@needs("gst-launch-1.0")
def test_gstreamer_plays_every_file_to_its_end(recorded):
    have = subprocess.run(["gst-inspect-1.0", "avdec_h264"], capture_output=True, check=False)
    if have.returncode:
        pytest.skip("GStreamer has no avdec_h264 (gstreamer1.0-libav)")
    demuxers = ("qtdemux", "matroskademux", "qtdemux")
    for path, demuxer in zip(files(recorded), demuxers, strict=False):
        chain = f"filesrc location={path} ! {demuxer} ! h264parse ! avdec_h264 ! fakesink"
        player = Player("gst-launch-1.0", "-q", *chain.split())
        assert player.end() == "", path


@needs("gst-launch-1.0")
def test_gstreamer_reads_mpeg_ts_as_it_comes(playing):
    port = free_port()
    chain = (
        f"tcpserversrc host=127.0.0.1 port={port} num-buffers=60 ! tsdemux ! h264parse ! "
        "avdec_h264 ! fakesink"
    )
    playing([{"url": f"tcp://127.0.0.1:{port}"}], [Player("gst-launch-1.0", "-q", *chain.split())])


@needs("ffmpeg")
def test_what_ffmpeg_says_of_a_growing_playlist_it_says_of_its_own_too(tmp_path):
    """Whoever reads this line shall know that it is not ours; drop FOREIGN when it goes."""
    source = ("-re", "-f", "lavfi", "-i", "testsrc=s=320x240:r=25")
    hls = ("-f", "hls", "-hls_time", "1", "-hls_segment_type", "fmp4", "-t", "9")
    codec = ("-c:v", "libx264", "-g", "25", "-preset", "ultrafast")
    playlist = tmp_path / "index.m3u8"
    quiet = ("ffmpeg", "-hide_banner", "-nostdin", "-loglevel")
    writer = Player(*quiet, "error", *source, *codec, *hls, str(playlist))
    until = time.monotonic() + PATIENCE
    while not playlist.exists() and time.monotonic() < until:
        time.sleep(0.05)
    reader = subprocess.run(
        [*quiet, "warning", "-i", str(playlist), "-frames:v", "200", "-f", "null", "-"],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    writer.kill()
    if FOREIGN not in reader.stderr:
        pytest.skip("this FFmpeg reads growing playlists in silence")
    assert not ours(reader.stderr)


@needs("chromium")
def test_chromium_shows_the_page_and_the_anonymized_picture(tmp_path):
    with Camera(320, HEIGHT) as server:
        camera = {"name": "entrance", "source": server.url, "latency": "low"}
        chosen = config(tmp_path, [camera], page={"listen": "127.0.0.1:0"})
        with Live(chosen) as live:
            page = live.run.page
            address = f"http://127.0.0.1:{page.port}/"
            live.more("entrance", 10)
            # Who looks on gets pictures.
            live.until(lambda: live.run.status.picture("entrance") is not None)
            live.until(lambda: live.state("entrance")["running"])
            shot = tmp_path / "page.png"
            told = chromium(tmp_path, "--dump-dom", address)
            pictures = [live.run.status.picture("entrance")]
            again = chromium(tmp_path, f"--screenshot={shot}", "--window-size=900,700", address)
    assert '<article id="entrance">' in told.stdout
    assert ">running<" in told.stdout
    for one in (told, again):
        complaints = [line for line in one.stderr.splitlines() if "CONSOLE" in line]
        assert not complaints, "a policy was broken or a picture is missing"
    seen = cv2.imread(str(shot), cv2.IMREAD_GRAYSCALE)
    # The grey of the scene fills most of the picture; the page has little of it, in letters.
    grey = (np.abs(seen.astype(int) - 110) < 6).astype(np.uint8)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(grey)
    width, height = max(boxes[1:], key=lambda box: box[cv2.CC_STAT_AREA])[2:4]
    assert width > 200, "no picture is shown"
    assert abs(width / height - 320 / HEIGHT) < 0.15
    raw = side_of(round(height))
    assert likeness(seen, tuple(range(raw - 6, raw + 7, 2))) < RAW
    assert pictures[0]


def chromium(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What a browser without a window makes of a page."""
    return subprocess.run(
        [
            "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-dev-shm-usage", "--disable-background-networking", "--disable-sync",
            "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}",
            "--hide-scrollbars", "--timeout=8000", *options,
        ],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
