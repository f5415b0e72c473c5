"""Files that appear whole: their rights, and what killed processes leave behind."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_anon.errors import InputError
from stream_anon.media.input.source import FileSource
from stream_anon.media.part_file import PartFile, clear_stale
from tests.media.clips import make_clip
from tests.media.conftest import pass_through


def aged(path: Path, seconds: float = 3600) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


@pytest.fixture(autouse=True)
def _usual_mask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("mode", "umask", "becomes"),
    [
        (0o600, 0o022, 0o600),
        (0o640, 0o022, 0o640),
        (0o644, 0o022, 0o644),
        (0o666, 0o022, 0o644),
        (0o664, 0o002, 0o664),
        (0o644, 0o077, 0o600),
        (0o755, 0o022, 0o644),
        (0o400, 0o022, 0o600),
        (0o444, 0o022, 0o644),
    ],
)
def test_an_output_takes_the_input_s_rights_and_never_wider(tmp_path, mode, umask, becomes):
    source = make_clip(tmp_path / "a.mp4", count=3)
    source.chmod(mode)
    os.umask(umask)
    (tmp_path / "b.mp4").write_bytes(b"yesterday's, for all to read")
    for name in ("b.mp4", "c.mkv"):
        pass_through(source, tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == becomes


def test_nobody_else_may_read_it_while_it_is_written(tmp_path):
    source = make_clip(tmp_path / "a.mp4", count=3)
    source.chmod(0o600)
    part = PartFile(tmp_path / "b.mp4", like=source)
    assert part.path.stat().st_mode & 0o777 == 0o600
    part.discard()
    part.discard()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


def test_what_is_committed_is_what_was_written(tmp_path):
    part = PartFile(tmp_path / "b.bin")
    part.path.write_bytes(b"whole")
    part.commit()
    assert (tmp_path / "b.bin").read_bytes() == b"whole"
    assert (part.bytes, part.sha256) == (5, hashlib.sha256(b"whole").hexdigest())
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_comes_meanwhile_is_not_replaced(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no links")))
    part = PartFile(tmp_path / "b.bin")
    (tmp_path / "b.bin").write_bytes(b"somebody's")
    with pytest.raises(FileExistsError):
        part.commit(replace=False)
    part.discard()
    assert (tmp_path / "b.bin").read_bytes() == b"somebody's"
    (tmp_path / "b.bin").unlink()
    again = PartFile(tmp_path / "b.bin")
    again.commit(replace=False)
    assert [p.name for p in tmp_path.iterdir()] == ["b.bin"]


def test_long_names(tmp_path):
    path = tmp_path / f"{'n' * 250}.mp4"
    part = PartFile(path)
    part.commit()
    assert path.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from stream_anon.media.part_file import PartFile
print(PartFile(Path(sys.argv[1]) / "b.mp4").path, flush=True)
os.kill(os.getpid(), signal.SIGKILL) if sys.argv[2] == "killed" else sys.stdin.read()
"""


def started(folder: Path, how: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_run_leaves_is_cleared_by_the_next(tmp_path):
    process, path = started(tmp_path, "killed")
    process.communicate()
    assert path.exists()
    source = make_clip(tmp_path / "a.mp4", count=3)
    # Not at once: a file system may be slow to tell who holds what.
    pass_through(source, tmp_path / "b.mp4")
    assert path.exists()
    aged(path)
    pass_through(source, tmp_path / "b.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_what_a_run_still_writes_is_left_alone(tmp_path):
    process, path = started(tmp_path, "waits")
    aged(path)
    assert clear_stale(tmp_path) == []
    assert path.exists()
    process.communicate("done")
    aged(path)
    assert clear_stale(tmp_path) == [path]


def test_only_files_of_that_naming_are_cleared(tmp_path):
    kept = [".a.mp4", "a.12345678.part.mp4", ".a.1234567.part.mp4", ".a.12345678.part.mp4.txt.x"]
    kept += [".a.1234567G.part.mp4", "video.mp4", ".part.mp4"]
    for name in kept:
        aged(tmp_path / name) if (tmp_path / name).write_bytes(b"x") else None
    (tmp_path / ".d.12345678.part.mp4").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"x")
    (tmp_path / ".l.12345678.part.mp4").symlink_to(tmp_path / "elsewhere")
    gone = tmp_path / ".a.12345678.part.mp4"
    gone.write_bytes(b"x")
    aged(gone)
    assert clear_stale(tmp_path) == [gone]
    assert clear_stale(tmp_path / "none") == []
    assert (tmp_path / "elsewhere").exists()


# What is no file.


def test_a_pipe_is_refused_at_once(tmp_path):
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    with pytest.raises(InputError, match=r"pipe\.mp4: is no regular file \(a pipe") as caught:
        FileSource(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="is no regular file"):
        FileSource("/dev/zero")
