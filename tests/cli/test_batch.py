"""Folders and many inputs: nothing is left out without a word, and a run can be done again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from stream_anon.cli import inputs
from stream_anon.cli.inputs import Found, Job, jobs
from stream_anon.errors import Cancelled, InputError, UsageError
from tests.media.clips import make_clip


def sources(found: Found) -> list[str]:
    return [str(job.source) for job in found.jobs]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def real(name: str, suffix: str = ".mp4") -> Path:
    """A clip under any name."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return make_clip(path.with_name(f"made{suffix}"), count=2).rename(path)


@pytest.mark.parametrize(
    "suffix",
    [
        ".vob", ".mxf", ".dv", ".rm", ".nut", ".ivf", ".asf", ".divx", ".f4v", ".qt", ".mp4",
        ".MKV", ".3gp", ".gif", ".M2TS", ".h264", ".jpg", ".JPEG", ".png", ".webp", ".tif", ".heic",
    ],
)  # fmt: skip
def test_a_name_that_says_video_is_never_left_out(command, video, api, suffix):
    video(f"in/a{suffix}")
    done = command("redact", "in", "-o", "out")
    assert done.code == 0
    assert [call["source"].name for call in api.calls] == [f"a{suffix}"]


def test_a_video_is_known_by_what_is_in_it(command, api, here):
    for name in ("in/recording", "in/export.bin", "in/b.mp4.bak", "in/deep/x.tmp"):
        real(name)
    Path("in/notes.txt").write_text("hello, this is no video. " * 300)
    Path("in/frame.raw").write_bytes(b"\xff\xd8\xff\xe0" + bytes(100))
    Path("in/README").write_text("x")
    done = command("redact", "in", "-o", "out")
    assert done.code == 0, done.err
    assert [str(call["source"]) for call in api.calls] == [
        "in/b.mp4.bak", "in/export.bin", "in/recording", "in/deep/x.tmp",
    ]  # fmt: skip
    assert [call["target"].suffix for call in api.calls] == [".mp4"] * 4


def test_links_are_followed_and_each_folder_is_entered_once(command, video, api, here):
    video("elsewhere/b.mp4"), video("in/a.mp4")
    Path("in/more").symlink_to(here / "elsewhere")
    Path("in/again").symlink_to(here / "in")
    Path("in/link.mp4").symlink_to(here / "in/a.mp4")
    assert command("redact", "in", "-o", "out").code == 0
    assert sorted(str(call["source"]) for call in api.calls) == [
        "in/a.mp4", "in/link.mp4", "in/more/b.mp4",
    ]  # fmt: skip


def test_what_cannot_be_done_is_listed_with_its_reason(command, video, api, here):
    video("in/a.mp4")
    Path("in/gone.mp4").symlink_to("nowhere.mp4")
    Path("in/ring.mkv").symlink_to("ring.mkv")
    os.mkfifo("in/pipe.mp4")
    real("in/.secret.mp4")
    Path("in/._a.mp4").write_bytes(b"a Mac's note of a file")
    done = command("redact", "in", "-o", "out")
    assert done.code == 1
    assert [call["source"].name for call in api.calls] == ["a.mp4"]
    assert "4 of 5 inputs failed:" in done.err
    assert "in/gone.mp4: is a link to nothing" in done.err
    assert "in/ring.mkv: too many levels of symbolic links" in done.err
    assert "in/pipe.mp4: is no regular file" in done.err
    assert "in/.secret.mp4: is hidden" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_named(command, video, api):
    video("in/a.mp4"), video("in/locked/b.mp4")
    os.chmod("in/locked", 0)
    try:
        done = command("redact", "in", "-o", "out")
    finally:
        os.chmod("in/locked", 0o700)
    assert done.code == 1
    assert "in/locked: permission denied" in done.err
    assert [call["source"].name for call in api.calls] == ["a.mp4"]


def test_a_folder_that_fails_to_be_listed_is_named(command, video, api, monkeypatch):
    video("in/a.mp4"), video("in/locked/b.mp4")
    plain = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", refuse)
    done = command("redact", "in", "-o", "out")
    assert done.code == 1
    assert "in/locked: permission denied" in done.err
    assert [call["source"].name for call in api.calls] == ["a.mp4"]


@pytest.mark.parametrize("output", [(), ("-o", "out"), ("-o", "in/out")])
def test_a_folder_with_a_gif_can_be_run_twice(command, video, api, here, output):
    for name in ("a.mp4", "b.mkv"):
        video(f"in/{name}")
    make_clip(here / "in/c.gif", codec="gif", pix_fmt="rgb8", count=2)
    first = command("redact", "in", *output, "-q")
    assert first.code == 0, first.err
    written = sorted(str(path) for path in here.rglob("*") if path.is_file())
    api.calls.clear()
    again = command("redact", "in", *output, "-n")
    assert again.code == 0, again.err
    assert not api.calls
    assert again.err.count("already there: ") == 3
    assert sorted(str(path) for path in here.rglob("*") if path.is_file()) == written


def test_two_that_would_become_one_keep_apart(command, video, api, here):
    make_clip(here / "a.gif", codec="gif", pix_fmt="rgb8", count=2)
    video("a.mp4")
    assert command("redact", ".", "-o", "out").code == 0
    assert sorted(os.listdir("out")) == ["a.gif.mp4", "a.mp4"]
    Path("a.mp4").unlink()
    make_clip(here / "a.mp4", count=2)
    assert command("redact", ".").code == 0
    assert Path("a.gif_anonymized.mp4").exists()
    assert command("redact", ".", "-n").code == 0


def test_a_complete_resume_is_0_and_a_part_that_fails_1(command, video, api):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        video(f"in/{name}")
    api.errors["b.mp4"] = InputError("in/b.mp4: holds no video")
    assert command("redact", "in", "-o", "out").code == 1
    api.errors.clear()
    api.calls.clear()
    assert command("redact", "in", "-o", "out", "-n").code == 0
    assert [call["source"].name for call in api.calls] == ["b.mp4"]


def test_one_name_that_is_missing_does_not_keep_the_others(command, video, api):
    done = command("redact", video("a.mp4"), "absent.mp4", video("b.mp4"), "-o", "out")
    assert done.code == 1
    assert [call["source"].name for call in api.calls] == ["a.mp4", "b.mp4"]
    assert "1 of 3 inputs failed:\n  absent.mp4: there is no such file" in done.err


def test_all_that_are_missing_are_named(command, api):
    done = command("redact", "a.mp4", "b.mp4", "-o", "out")
    assert done.code == 1
    assert done.err == (
        "error: nothing can be done: a.mp4: there is no such file; "
        "b.mp4: there is no such file\n"
    )


def test_a_dry_run_lists_them_too(command, video, api):
    done = command("redact", video("a.mp4"), "absent.mp4", "-o", "out", "--dry-run")
    assert done.code == 1
    assert "a.mp4 -> out/a.mp4" in done.out
    assert "absent.mp4: there is no such file" in done.err


def test_what_a_killed_run_left_is_no_input(command, video, api):
    video("in/a.mp4"), video("in/.a.0123abcd.part.mp4")
    assert command("redact", "in", "-o", "out").code == 0
    assert [call["source"].name for call in api.calls] == ["a.mp4"]


def test_a_pipe_that_is_named_is_refused(command, api, here):
    os.mkfifo("pipe.mp4")
    done = command("redact", "pipe.mp4")
    assert (done.code, done.err) == (1, "error: pipe.mp4: is no regular file\n")


def test_results_of_an_earlier_run_are_named(command, video, api):
    video("in/a.mp4"), video("in/a_anonymized.mp4")
    done = command("redact", "in", "-o", "out")
    assert done.code == 0
    assert "results of an earlier run: in/a_anonymized.mp4" in done.err
    # Who names it wants it.
    api.calls.clear()
    assert command("redact", "in/a.mp4", "in/a_anonymized.mp4", "-o", "named").code == 0
    assert len(api.calls) == 2


def test_the_batch_says_where_it_is(command, video, api):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        video(name)
    said = command("redact", "a.mp4", "b.mp4", "c.mp4", "-o", "out").err
    assert "1 of 3: a.mp4\n" in said
    assert "2 of 3: b.mp4 (all done in about 0:00:0" in said
    assert "3 of 3: c.mp4" in said


class TestSummary:
    def entries(self, path: str = "all.json") -> dict[str, dict]:
        made = json.loads(Path(path).read_text())
        assert made["schema_version"] == 1
        return {entry["input"]: entry for entry in made["inputs"]}

    def test_it_tells_what_became_of_each(self, command, video, api):
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            video(name)
        video("out/c.mp4")
        api.errors["b.mp4"] = InputError("b.mp4: holds no video")
        done = command(
            "redact", "a.mp4", "b.mp4", "c.mp4", "absent.mp4", "-o", "out", "-n",
            "--summary", "all.json", "--report", "reports",
        )  # fmt: skip
        assert done.code == 1
        found = self.entries()
        assert {name: entry["status"] for name, entry in found.items()} == {
            "a.mp4": "done", "b.mp4": "failed", "c.mp4": "kept", "absent.mp4": "refused",
        }  # fmt: skip
        assert found["b.mp4"]["error"] == "b.mp4: holds no video"
        assert found["a.mp4"]["output"] == "out/a.mp4"
        assert found["a.mp4"]["report"] == "reports/a.mp4.report.json"
        assert found["absent.mp4"]["output"] is None
        made = json.loads(Path("all.json").read_text())
        assert made["counts"] == {"done": 1, "failed": 1, "kept": 1, "refused": 1}
        assert (made["exit_code"], made["stopped"]) == (1, False)

    def test_a_stopped_batch_says_what_was_not_reached(self, command, video, api):
        def during(call):
            if call["source"].name == "b.mp4":
                os.kill(os.getpid(), signal.SIGHUP)
                assert call["cancel"].wait(5)
                raise Cancelled("stopped")

        api.during = during
        names = [video(name) for name in ("a.mp4", "b.mp4", "c.mp4")]
        done = command("redact", *names, "-o", "out", "--summary", "all.json")
        assert done.code == 130
        assert [entry["status"] for entry in self.entries().values()] == [
            "done", "not reached", "not reached",
        ]  # fmt: skip
        assert json.loads(Path("all.json").read_text())["stopped"] is True

    @pytest.mark.parametrize("name", ["a.mp4", "out/a.mp4", "out", "there.json", "no/all.json"])
    def test_it_replaces_nothing(self, command, video, api, name):
        video("a.mp4"), video("there.json")
        Path("out").mkdir()
        done = command("redact", "a.mp4", "-o", "out/a.mp4", "--summary", name)
        assert done.code in (1, 2)
        assert not api.calls
        assert Path("there.json").read_text() == Path("a.mp4").read_text() == "raw"

    def test_yes_replaces_it(self, command, video, api):
        video("a.mp4"), video("all.json")
        assert command("redact", "a.mp4", "-o", "b.mp4", "--summary", "all.json", "-y").code == 0
        assert self.entries()["a.mp4"]["status"] == "done"
        assert sorted(os.listdir()) == ["a.mp4", "all.json", "b.mp4"]


def test_a_report_is_not_replaced_without_a_word(command, video, api):
    video("a.mp4"), video("r.json")
    done = command("redact", "a.mp4", "-o", "b.mp4", "--report", "r.json")
    assert done.code == 2
    assert not api.calls
    assert command("redact", "a.mp4", "-o", "b.mp4", "--report", "r.json", "-n").code == 2
    assert command("redact", "a.mp4", "-o", "b.mp4", "--report", "r.json", "-y").code == 0


def test_only_videos_of_the_folder_are_probed_once(here):
    for name in ("in/a.mp4", "in/b", "in/c.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("raw")
    asked: list[str] = []

    def probe(path: Path) -> str:
        asked.append(path.name)
        if path.name == "c.txt":
            raise InputError(f"{path}: holds no video")
        return ".mkv"

    found = jobs([Path("in")], "out", None, probe)
    assert found.jobs == (
        Job(Path("in/a.mp4"), Path("out/a.mkv")),
        Job(Path("in/b"), Path("out/b.mkv")),
    )
    assert sorted(asked) == ["a.mp4", "b", "c.txt"]


def test_a_plan_that_writes_over_an_input_is_refused_whole(here):
    for name in ("a.mp4", "b.mp4"):
        Path(name).write_text("raw")
    Path("out").mkdir()
    Path("out/b.mp4").hardlink_to("a.mp4")
    with pytest.raises(UsageError, match=r"out/b\.mp4: is the input a\.mp4"):
        jobs([Path("a.mp4"), Path("b.mp4")], "out")


def test_options_that_belong_to_another_method_are_refused(command, video, api):
    video()
    for arguments in (["--cells", "6"], ["--method", "blur", "--colour", "0,0,0"]):
        assert command("redact", "street.mp4", *arguments).code == 2
    assert not api.calls
    assert command("redact", "street.mp4", "--method", "pixelate", "--cells", "6").code == 0
    assert api.calls[-1]["config"].method.cells == 6


@pytest.mark.parametrize(
    ("text", "colour"),
    [("255,128,0", (255, 128, 0)), ("#ff8000", (255, 128, 0)), ("0, 0, 0", (0, 0, 0))],
)
def test_a_colour(command, video, api, text, colour):
    assert command("redact", video(), "--method", "fill", "--colour", text).code == 0
    assert api.calls[0]["config"].method.colour == colour


@pytest.mark.parametrize("text", ["red", "256,0,0", "1,2", "1,2,3,4", "-1,0,0", "#fff", "1.5,0,0"])
def test_no_colour(command, video, api, text):
    assert command("redact", video(), "--method", "fill", "--colour", text).code == 2


def test_threshold_and_subtitles(command, video, api):
    done = command("redact", video(), "--threshold", "0.05", "--subtitles", "drop")
    assert done.code == 0, done.err
    config = api.calls[0]["config"]
    assert (config.detector.threshold, config.detector.keep_threshold) == (0.05, 0.05)
    assert config.video.subtitles == "drop"
    assert command("redact", "street.mp4", "--threshold", "0.9", "-y").code == 2


@pytest.mark.parametrize(("text", "seconds"), [("250ms", 0.25), ("1.7s", 1.7), ("2", None)])
def test_latency_takes_a_unit(command, video, api, text, seconds):
    done = command("redact", video(), "--latency", text)
    assert done.code == (0 if seconds else 2), done.err
    if seconds:
        assert api.calls[0]["config"].tracker.latency == seconds
    else:
        assert "'2' is no span of time; write 250ms" in done.err


def test_every_name_that_a_result_can_have_is_known_as_a_video():
    from stream_anon.media.output.formats import BY_SUFFIX

    assert set(BY_SUFFIX) <= inputs.EXTENSIONS


def test_a_summary_is_whole_or_not_there(command, video, api, monkeypatch):
    video("in/a.mp4")
    Path("s.json").write_text("of yesterday")
    stale = Path(".s.0123abcd.part.json")
    stale.write_text("half of it")
    os.utime(stale, (0, 0))

    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        done = command("redact", "in", "-o", "out", "--summary", "s.json", "-n")
    assert done.code == 1
    assert "s.json: cannot be written (No space left on device)" in done.err
    assert Path("s.json").read_text() == "of yesterday"
    assert not [path for path in Path().iterdir() if path.name.startswith(".")], "no part is left"
