"""Recall: a face counts as covered when its inside has changed, and only then."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from stream_anon.config import Config
from stream_anon.errors import InputError
from stream_anon.evaluation.measures import recall

BOXES = [(20.0, 20.0, 32.0, 40.0), (90.0, 20.0, 48.0, 60.0)]


def write(path: Path, frames: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "gray"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> tuple[Path, Path, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 200, (96, 160), np.uint8) for _ in range(3)]
    truth = tmp_path / "truth.json"
    frame_count = [[{"track": k, "box": box} for k, box in enumerate(BOXES)]] * 3
    truth.write_text(json.dumps({"frames": frame_count}))
    return write(tmp_path / "clip.mkv", frames), truth, frames


def test_what_was_left_open_is_told(clip, tmp_path: Path, capsys) -> None:
    path, truth, frames = clip
    painted = [frame.copy() for frame in frames]
    for frame in painted:
        frame[20:60, 20:52] = 250
    for frame in painted[1:]:
        frame[20:80, 90:138] = 250
    redacted = write(tmp_path / "out.mkv", painted)
    found = recall.measure(path, redacted, recall.read_truth(truth))
    assert len(found.boxes) == 6
    assert [(box.frame, box.track) for box, _ in found.leaks] == [(0, 1)]
    assert found.covered == pytest.approx(5 / 6)
    assert found.by_size()[1] == ("30-40 px", 3, 3)
    arguments = [str(path), str(truth), "--redacted", str(redacted)]
    assert recall.main([*arguments, "--least", "0.99", "--out", str(tmp_path / "r/x.md")]) == 1
    assert "5 of 6" in capsys.readouterr().out
    assert "Largest face left open: 54 px" in (tmp_path / "r/x.md").read_text()
    assert recall.main([*arguments, "--least", "0.8"]) == 0


def test_a_clip_is_measured_again_begun_later(
    clip, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, truth, frames = clip
    begun = []

    def redact(clip: Path, target: Path, config: Config, start: float | None = None) -> None:
        begun.append(start)
        assert (config.method.name, config.detector.threshold) == ("fill", 0.4)
        late = 0 if start is None else round(start * 25 + 0.5)
        painted = [255 - frame for frame in frames[late:]]
        if late == 2:
            painted = frames[late:]
        write(target, painted)

    monkeypatch.setattr(recall, "_redact", redact)
    arguments = [str(path), str(truth), "--least", "0.9", "--method", "fill"]
    arguments += ["--option", "detector.threshold=0.4"]
    assert recall.main([*arguments, "--option", "detector.threshold"]) == 1
    assert recall.main([*arguments, "--option", "detector.threshold=2"]) == 1
    assert recall.main([*arguments, "--phases", "2"]) == 0
    assert begun == [None, pytest.approx(0.02)]
    assert recall.main([*arguments, "--phases", "3"]) == 1
    text = capsys.readouterr().out
    assert "| 1 | 4 | 4 | none |" in text
    assert "| 2 | 2 | 0 | 2/1, 2/0 |" in text
    assert recall.main([*arguments, "--phases", "4"]) == 1
    assert "fewer than 4 frames" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        recall.main([*arguments, "--phases", "2", "--transcode"])


def test_an_unchanged_file_covers_nobody(clip) -> None:
    path, truth, _ = clip
    assert recall.measure(path, path, recall.read_truth(truth)).covered == 0


def test_files_that_do_not_belong_together_are_refused(clip, tmp_path: Path, capsys) -> None:
    path, truth, frames = clip
    short = write(tmp_path / "short.mkv", frames[:2])
    boxes = recall.read_truth(truth)
    for pair in ((path, short), (short, short), (truth, path), (path, tmp_path / "absent.mp4")):
        with pytest.raises(InputError):
            recall.measure(*pair, boxes)
    (tmp_path / "bad.json").write_text('{"frames": [[{"track": 1, "box": [0, 0, 0, 5]}]]}')
    for bad in (tmp_path / "bad.json", tmp_path / "absent.json"):
        with pytest.raises(InputError):
            recall.read_truth(bad)
    assert recall.main([str(path), str(tmp_path / "absent.json"), "--redacted", str(path)]) == 1
    assert "absent.json" in capsys.readouterr().err


def test_a_clip_is_measured_again_at_lower_frame_rates(
    clip: tuple[Path, Path, list[np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, truth, frames = clip
    counts = []

    def redact(source: Path, target: Path, config: Config) -> None:
        kept = list(recall.lumas(source))
        counts.append(len(kept))
        # Every second frame alone is left as it is.
        write(target, kept if len(kept) == (len(frames) + 1) // 2 else [255 - p for p in kept])

    monkeypatch.setattr(recall, "_redact", redact)
    assert recall.main([str(path), str(truth), "--every", "3", "--least", "0.9"]) == 1
    assert counts == [len(frames[::n]) for n in (1, 2, 3)]
    rows = capsys.readouterr().out.split("| every |")[1]
    assert "| 2 |" in rows
    assert "| 0 |" in rows.splitlines()[2]
    assert "| 0 |" not in rows.splitlines()[3]
