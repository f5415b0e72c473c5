"""`stream-anon redact`: inputs, outputs, options, exit codes."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest

from stream_anon.config import Config
from stream_anon.errors import Cancelled, InputError, ModelError, OutputError, UsageError


def test_default_name_stands_beside_the_input(command, video, api):
    source = video("a/street.mp4")
    done = command("redact", source)
    assert done.code == 0
    assert api.calls[0]["target"] == Path("a/street_anonymized.mp4")
    assert api.calls[0]["config"] == Config()
    assert "3 frames" in done.out


def test_options_reach_the_configuration(command, video, api):
    done = command(
        "redact", video(), "-o", "out.mkv", "--method", "fill", "--device", "cpu",
        "--audio", "drop", "--keep-metadata", "--codec", "hevc", "--crf", "20",
        "--encoder-preset", "slow", "--start", "1:02", "--end", "0:01:10.5", "--draw-boxes",
        "--on-fault", "step-down",
        "--models-dir", "weights", "--report", "r.json", "--pipeline", "mine.py",
    )  # fmt: skip
    assert done.code == 0, done.err
    call = api.calls[0]
    config = call["config"]
    assert (config.method.name, config.device, config.draw_boxes) == ("fill", "cpu", True)
    assert config.fault.policy == "step-down"
    assert config.models_dir == Path("weights")
    got = config.video
    assert (got.audio, got.keep_metadata, got.codec, got.crf) == ("drop", True, "hevc", 20)
    assert (got.encoder_preset, got.start, got.end) == ("slow", 62.0, 70.5)
    assert (call["target"], call["report"]) == (Path("out.mkv"), Path("r.json"))
    assert call["pipeline"] == "mine.py"


def test_a_preset_is_overridden_by_an_option(command, video, api):
    assert command("redact", video(), "--preset", "fast", "--method", "blur").code == 0
    config = api.calls[0]["config"]
    assert config.method.name == "blur"
    assert config.detector.smallest_face > Config().detector.smallest_face


def test_a_configuration_file(command, video, api, tmp_path):
    (tmp_path / "mine.yaml").write_text("method: {name: fill}\n")
    assert command("redact", video(), "--config", "mine.yaml").code == 0
    assert api.calls[0]["config"].method.name == "fill"


def test_a_folder_keeps_its_structure(command, video, api):
    for name in ("in/a.mp4", "in/deep/b.MKV", "in/notes.txt", "in/.hidden.mp4"):
        video(name)
    assert command("redact", "in", "-o", "out", "--report", "reports").code == 0
    assert [(str(c["source"]), str(c["target"]), str(c["report"])) for c in api.calls] == [
        ("in/a.mp4", "out/a.mp4", "reports/a.mp4.report.json"),
        ("in/deep/b.MKV", "out/deep/b.MKV", "reports/deep/b.MKV.report.json"),
    ]


def test_a_slash_means_a_folder(command, video, api):
    assert command("redact", video(), "-o", "out/", "--report", "reports/").code == 0
    assert api.calls[0]["target"] == Path("out/street.mp4")
    assert api.calls[0]["report"] == Path("reports/street.mp4.report.json")


def test_a_second_run_over_a_folder_leaves_earlier_results_alone(command, video, api):
    video("in/a.mp4"), video("in/a_anonymized.mp4"), video("in/out/old.mp4")
    video("in/b_anonymized.mp4")  # its original is not here: it may be anything
    assert command("redact", "in", "-o", "in/out").code == 0
    assert [c["source"].name for c in api.calls] == ["a.mp4", "b_anonymized.mp4"]


def test_one_failure_does_not_stop_the_others(command, video, api):
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        video(name)
    api.errors["b.mp4"] = InputError("b.mp4: holds no video")
    done = command("redact", "a.mp4", "b.mp4", "c.mp4", "-o", "out")
    assert done.code == 1
    assert sorted(os.listdir("out")) == ["a.mp4", "c.mp4"]
    assert "1 of 3 inputs failed:\n  b.mp4: holds no video" in done.err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("street.mp4: holds no video"), 1, "error: street.mp4: holds no video\n"),
        (OutputError("no space left"), 1, "error: street.mp4: no space left\n"),
        (ModelError("model 'x' is missing"), 1, "error: street.mp4: model 'x' is missing\n"),
        (UsageError("no method 'x'"), 2, "error: street.mp4: no method 'x'\n"),
        (OSError(28, "No space left on device"), 1, "error: street.mp4: No space left on device\n"),
        (MemoryError(), 1, "error: street.mp4: out of memory\n"),
        (ZeroDivisionError("x"), 1, "error: street.mp4: internal error, please report it: "
                                    "ZeroDivisionError: x\n"),
    ],
)  # fmt: skip
def test_an_error_is_one_line(command, video, api, error, code, words):
    video()
    api.errors["street.mp4"] = error
    done = command("redact", "street.mp4")
    assert (done.code, done.err) == (code, words)


def test_verbose_adds_the_chain_and_very_verbose_the_traceback(command, video, api):
    video()
    error = InputError("street.mp4: cannot be read")
    error.__cause__ = ValueError("moov atom not found")
    api.errors["street.mp4"] = error
    assert "because of ValueError: moov atom not found" in command("redact", "street.mp4", "-v").err
    assert "Traceback" in command("redact", "street.mp4", "-vv").err


def test_quiet_says_nothing_but_errors(command, video, api):
    done = command("redact", video(), "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert api.calls[0]["progress"] is None


def test_warnings_are_shown_unless_quiet(command, video, api):
    gate = logging.getLogger("stream_anon.pipeline.painting.gate")
    api.during = lambda call: gate.warning("down")
    assert command("redact", video()).err == "down\n"
    assert command("redact", video(), "-q", "-y").err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["redact"],
        ["redact", "street.mp4", "--methd", "blur"],
        ["redact", "street.mp4", "-y", "-n"],
        ["redact", "street.mp4", "-q", "-v"],
        ["redact", "street.mp4", "--device", "tpu"],
        ["redact", "street.mp4", "--start", "ten"],
        ["redact", "street.mp4", "--start", "1:75"],
        ["redact", "street.mp4", "--start", "5", "--end", "4"],
        ["redact", "street.mp4", "--crf", "99"],
        ["redact", "street.mp4", "--preset", "nonesuch"],
        ["redact", "street.mp4", "--preset", "../configs/fast"],
        ["redact", "street.mp4", "--preset", "fast", "--config", "x.yaml"],
        ["redact", "street.mp4", "--config", "missing.yaml"],
        ["redact", "street.mp4", "-o", "street.mp4"],
        ["redact", "street.mp4", "-o", "./x/../street.mp4"],
        ["redact", "street.mp4", "-o", "."],
        ["redact", "street.mp4", "-o", "link.mp4", "-y"],
        ["redact", "street.mp4", "-o", "out.mp4", "--report", "out.mp4"],
        ["redact", "street.mp4", "--report", "street.mp4"],
        ["redact", "street.mp4", "other.mp4", "-o", "out.mp4"],
        ["redact", "street.mp4", "copy/street.mp4", "-o", "out"],
        ["nonesuch"],
    ],
)
def test_bad_usage(command, video, api, arguments):
    for name in ("street.mp4", "other.mp4", "copy/street.mp4", "x/y.mp4"):
        video(name)
    os.link("street.mp4", "link.mp4")
    done = command(*arguments)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert not api.calls
    assert Path("street.mp4").read_text() == "raw"


def test_missing_input(command, api):
    done = command("redact", "absent.mp4")
    assert (done.code, done.err) == (1, "error: absent.mp4: there is no such file\n")


def test_a_folder_without_video(command, api, tmp_path):
    (tmp_path / "in").mkdir()
    assert command("redact", "in").code == 1


class TestExistingOutput:
    @pytest.fixture(autouse=True)
    def _exists(self, video):
        video(), video("out.mp4")

    def test_no_terminal_and_no_word_is_bad_usage(self, command, api, monkeypatch):
        done = command("redact", "street.mp4", "-o", "out.mp4")
        assert done.code == 2
        assert "-y replaces it" in done.err
        assert not api.calls

    def test_yes_replaces(self, command, api):
        assert command("redact", "street.mp4", "-o", "out.mp4", "-y").code == 0
        assert Path("out.mp4").read_text() == "done"

    def test_no_keeps_and_tells(self, command, api):
        done = command("redact", "street.mp4", "-o", "out.mp4", "-n")
        assert done.code == 0
        assert not api.calls
        assert "already there: street.mp4 (out.mp4 exists)" in done.err

    @pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 1)])
    def test_a_terminal_is_asked(self, command, api, monkeypatch, answer, code):
        monkeypatch.setattr("sys.stdin", type("Tty", (), {"isatty": lambda self: True})())
        monkeypatch.setattr("click.confirm", lambda *_, **__: answer)
        assert command("redact", "street.mp4", "-o", "out.mp4").code == code


def test_dry_run_writes_nothing(command, video, api, tmp_path):
    done = command("redact", video(), "-o", "out/x.mp4", "--dry-run")
    assert (done.code, done.out) == (0, "street.mp4 -> out/x.mp4\n")
    assert not (tmp_path / "out").exists()


def test_dry_run_tells_what_cannot_be_read(command, video, api):
    api.errors["street.mp4"] = InputError("street.mp4: holds no video")
    assert command("redact", video(), "--dry-run").code == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_the_run_to_stop(command, video, api, number):
    def during(call):
        os.kill(os.getpid(), number)
        assert call["cancel"].wait(5)
        raise Cancelled("stopped")

    api.during = during
    before = signal.getsignal(number)
    done = command("redact", video("a.mp4"), video("b.mp4"), "-o", "out")
    assert done.code == 130
    assert len(api.calls) == 1
    assert "stopped" in done.err
    assert signal.getsignal(number) is before


def test_a_terminal_that_goes_away_under_nohup_is_ignored(command, video, api):
    def during(call):
        os.kill(os.getpid(), signal.SIGHUP)
        assert not call["cancel"].wait(0.2)

    api.during = during
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert command("redact", video("a.mp4"), "-o", "out.mp4").code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_report_is_not_replaced_unasked(command, video, api, tmp_path):
    (tmp_path / "r.json").write_text("yesterday's")
    call = ("redact", video("a.mp4"), "-o", "out.mp4", "--report", "r.json")
    done = command(*call)
    assert done.code == 2
    assert "r.json: exists; -y replaces it" in done.err
    assert (tmp_path / "r.json").read_text() == "yesterday's"
    assert command(*call, "-y").code == 0
    assert api.calls[0]["overwrite"] is True


def test_what_comes_meanwhile_is_not_replaced(command, video, api):
    assert command("redact", video("a.mp4"), "-o", "out.mp4", "-y").code == 0
    assert api.calls[0]["overwrite"] is False


def test_a_second_signal_interrupts(command, video, api):
    def during(call):
        os.kill(os.getpid(), signal.SIGINT)
        assert call["cancel"].wait(5)
        os.kill(os.getpid(), signal.SIGINT)

    api.during = during
    assert command("redact", video()).code == 130


def test_cuda_without_a_gpu_says_what_is_missing(command, video, api, monkeypatch):
    monkeypatch.setattr("stream_anon.device.missing_for_cuda", lambda: "no driver")
    done = command("redact", video(), "--device", "cuda")
    assert (done.code, done.err) == (2, "error: device 'cuda' cannot be used: no driver\n")
    assert "device cpu: no driver" in command("redact", video(), "-v").err
