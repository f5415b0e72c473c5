"""The whole program as an operator runs it: credentials, page, metrics, signals."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.live.harness import PATIENCE, PIPELINE, ROOT
from tests.live.peers.rtsp_server import Camera
from tests.live.test_faults import judge

PASSWORD = "Wanderfalke-7731"
TOKEN = "Zaunkoenig-5520"

pytestmark = pytest.mark.timeout(400)
"""A busy machine is slow; what hangs is told by the waits themselves."""


class Program:
    """``stream-anon live`` as a process."""

    def __init__(self, folder: Path, chosen: dict, **variables: str) -> None:
        self.folder = folder
        (folder / "finder.py").write_text(PIPELINE)
        self.file = folder / "cameras.yaml"
        self.write(chosen)
        self.log = folder / "log.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream_anon", "live", "--config", str(self.file)],
                env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
                stderr=log, stdout=log, cwd=folder,
            )  # fmt: skip
        self.token: str | None = None

    def write(self, chosen: dict) -> None:
        shared = {
            "pipeline": str(self.folder / "finder.py"), "method": {"name": "pixelate"},
            "encoder": {"preset": "ultrafast"}, "log": {"format": "json"}, "stall": "30s",
            "standby": False,
        }  # fmt: skip
        self.file.write_text(yaml.safe_dump({**shared, **chosen}))

    @property
    def port(self) -> int:
        found = re.search(r"the page is at port (\d+)", self.log.read_text())
        return int(found.group(1)) if found else 0

    def get(self, path: str, token: str | None = None, **headers: str) -> tuple[int, bytes]:
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        token = token if token is not None else self.token
        if token:
            asked.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def until(self, what) -> None:
        until = time.monotonic() + PATIENCE
        while not what():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.1)

    def status(self) -> dict:
        return json.loads(self.get("/status.json")[1])

    def processes(self) -> list[int]:
        """The program and what it started."""
        found = [self.process.pid]
        for name in os.listdir("/proc"):
            try:
                stat = Path(f"/proc/{name}/stat").read_text() if name.isdigit() else ""
            except OSError:
                continue
            if stat and int(stat.rpartition(")")[2].split()[1]) == self.process.pid:
                found.append(int(name))
        return found

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@pytest.fixture
def programs():
    begun: list[Program] = []
    yield begun
    for one in begun:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


def searched(program: Program) -> dict[str, bytes]:
    """Everything that others can read of a run."""
    found = {"log": program.log.read_bytes()}
    for path in ("/", "/metrics", "/status.json", "/healthz", "/readyz", "/nothing"):
        found[path] = program.get(path)[1]
    for pid in program.processes():
        for name in ("cmdline", "environ", "comm", "maps", "mountinfo", "net/unix"):
            try:
                found[f"/proc/{pid}/{name}"] = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
    return found


def test_a_run_with_credentials(tmp_path, programs):
    password = tmp_path / "password"
    password.write_text(PASSWORD + "-file\n")
    with Camera() as one, Camera() as two:
        one.login = ("viewer", PASSWORD)
        two.login = ("viewer", PASSWORD + "-file")
        cameras = [
            {
                "name": "one", "latency": "low",
                "source": one.url.replace("//", "//viewer:${CAMERA_PASSWORD}@"),
                "outputs": [
                    {"record": str(tmp_path / "one.mkv")},
                    # Nobody is there: the refusal must not name the key.
                    {"url": "rtmp://127.0.0.1:1/live/${CAMERA_PASSWORD}"},
                ],
            },
            {
                "name": "two", "latency": "low", "source": two.url, "username": "viewer",
                "password_file": str(password), "outputs": [{"hls": str(tmp_path / "hls")}],
            },
            {"name": "wrong", "source": one.url.replace("//", "//viewer:${WRONG}@")},
        ]  # fmt: skip
        page = {"listen": "127.0.0.1:0", "token": "${PAGE_TOKEN}"}
        program = Program(
            tmp_path, {"cameras": cameras, "page": page},
            CAMERA_PASSWORD=PASSWORD, WRONG=PASSWORD + "-wrong", PAGE_TOKEN=TOKEN,
        )  # fmt: skip
        programs.append(program)
        program.token = TOKEN
        program.until(lambda: program.port)
        program.until(lambda: all(program.status()[name]["running"] for name in ("one", "two")))
        program.until(lambda: program.status()["wrong"]["reader"].get("failures", 0) >= 2)
        program.until(lambda: program.status()["one"]["outputs"]["1-rtmp"].get("failures", 0))

        # The page, with the token and without it.
        assert program.get("/", token="")[0] == 401
        assert program.get("/metrics", token=TOKEN + "x")[0] == 401
        assert program.get("/preview/one.jpg", token="no")[0] == 401
        login = base64.b64encode(f"any:{TOKEN}".encode()).decode()
        assert program.get("/", token="", Authorization=f"Basic {login}")[0] == 200
        code, text = program.get("/")
        assert code == 200
        assert b"running" in text
        assert program.get("/healthz", token="")[0] == 200
        assert program.get("/readyz", token="")[0] == 503, "one camera does not run"
        program.until(lambda: program.get("/preview/one.jpg")[0] == 200)
        assert program.get("/preview/one.jpg")[1].startswith(b"\xff\xd8")
        program.until(lambda: program.get("/hls/two/index.m3u8")[1].startswith(b"#EXTM3U"))
        assert program.get("/hls/two/..%2Fpassword")[0] == 404
        metrics = program.get("/metrics")[1].decode()
        assert re.search(r'stream_anon_live_frames_painted_total\{camera="one"\} [1-9]', metrics)
        assert 'stream_anon_live_latency_seconds_bucket{camera="one",le="0.4"}' in metrics
        assert re.search(r'stream_anon_live_failures_total\{camera="wrong"\} [1-9]', metrics)

        found = searched(program)
        assert sum(name.endswith("/cmdline") for name in found) >= 7
        for name, text in found.items():
            for secret in (PASSWORD, TOKEN):
                assert secret.encode() not in text, name
            encoded = base64.b64encode(f"viewer:{PASSWORD}".encode())
            assert encoded not in text, name

        for pid in program.processes():
            # No core file, in which pictures and passwords would stand.
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"Max core file size +0 +0", limits)

        # Another configuration: a camera goes, another comes, the third is left alone.
        connects = program.status()["two"]["reader"]["connects"]
        three = {**cameras[1], "name": "three", "outputs": []}
        program.write({"cameras": [cameras[1], three], "page": page})
        assert program.get("/readyz")[0] == 503
        program.process.send_signal(signal.SIGHUP)
        program.until(lambda: program.status().get("three", {}).get("running"))
        assert set(program.status()) == {"two", "three"}
        assert program.status()["two"]["reader"]["connects"] == connects
        program.until(lambda: (tmp_path / "one.mkv").exists())
        # A password that changed in its file is taken, though the YAML is as it was.
        two.login = ("viewer", PASSWORD + "-new")
        password.write_text(PASSWORD + "-new\n")
        program.process.send_signal(signal.SIGHUP)
        two.kick()
        before = two.sessions
        program.until(lambda: two.sessions >= before + 2)
        # One that makes no sense changes nothing.
        program.file.write_text("cameras: [{name: x, sorce: y}]")
        program.process.send_signal(signal.SIGHUP)
        program.until(lambda: "stays as it was" in program.log.read_text())
        assert set(program.status()) == {"two", "three"}
        program.until(lambda: program.get("/readyz")[0] == 200)

        pids = program.processes()
        assert program.end() == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    lines = [json.loads(line) for line in program.log.read_text().splitlines()]
    assert all(set(line) == {"time", "level", "message"} for line in lines)
    assert lines[-1]["message"] == "ended"
    judge(tmp_path / "one.mkv")
    judge(tmp_path / "hls" / "index.m3u8")
    assert PASSWORD not in program.log.read_text()


def test_children_end_when_the_program_is_killed(tmp_path, programs):
    with Camera() as server:
        camera = {"name": "a", "source": server.url, "outputs": [{"record": str(tmp_path / "r")}]}
        program = Program(tmp_path, {"cameras": [camera], "page": {"listen": "127.0.0.1:0"}})
        programs.append(program)
        program.until(lambda: program.port and program.status()["a"]["running"])
        # Without a token, a page of another site must not read it by a name of its own.
        assert program.get("/", Host="rebound.example")[0] == 401
        pids = program.processes()
        assert len(pids) == 4
        program.process.kill()
        program.process.wait()
        until = time.monotonic() + PATIENCE
        while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
            assert time.monotonic() < until
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["rtsp://u:secretword@cam/1"], "every user of this machine"),
        ([], "either a URL or --config"),
        (["rtsp://cam/1", "-o", "gopher://x"], "begins with one of"),
        (["rtsp://u:${NOT_SET_ANYWHERE}@cam/1"], "the environment has no NOT_SET_ANYWHERE"),
        (["rtsp://cam/1", "--listen", "0.0.0.0:80"], "needs a 'token'"),
        (["rtsp://cam/1", "--method", "nothing"], "there is no method 'nothing'"),
        (["/tmp/video.mp4"], "begins with one of"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(line, words, capsys):
    from stream_anon.cli.boundary import USAGE, run

    assert run(["live", *line]) == USAGE
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert "secretword" not in told
