"""`evaluate --only looks` from clips to the page: every row, and what is missing is said."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml

from stream_anon.alignment.mesh_measures import mean_mesh
from stream_anon.cli import run as stream_anon
from stream_anon.detection.types import Face
from stream_anon.errors import InputError
from stream_anon.evaluation.data.clips import encoded_again, frames_of
from stream_anon.evaluation.looks import run as looks_run
from stream_anon.evaluation.looks import section
from stream_anon.geometry import TEMPLATE

SIDE, FRAMES = 128, 46


class Here:
    """A detector that finds one face where the template says."""

    def __init__(self, name="toy", models=None, threshold=0.5):
        self.name = name

    def all(self, image):
        return [Face(np.array([20.0, 20.0, 110.0, 120.0]), TEMPLATE, 0.9)]

    def aligned(self, image, side=92.0):
        return self.all(image)[0]


class Mean:
    """A mesh network that always sees the mean mesh; its mouth opens with the picture's level."""

    def __init__(self, models=None, threads=1):
        pass

    def __call__(self, crops):
        meshes = np.repeat(mean_mesh()[None].astype(np.float32), len(crops), axis=0)
        for mesh, crop in zip(meshes, crops, strict=True):
            mesh[[14, 87, 317], 1] += crop.mean() / 10.0
        return meshes, np.ones(len(crops), np.float32)


def clip(path: Path, seed: int, frames: int = FRAMES) -> Path:
    """Stripes that move, whose level goes up and down."""
    rng = np.random.default_rng(seed)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), (0, 0), 3)
    with av.open(str(path), "w") as sink:
        stream = sink.add_stream("libx264", rate=25)
        stream.width = stream.height = SIDE
        stream.pix_fmt, stream.options = "yuv420p", {"crf": "12"}
        for k in range(frames):
            level = 30 * np.sin(k / 3)
            shown = np.clip(np.roll(picture, k, axis=1) + level, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return path


@pytest.fixture
def setting(tmp_path: Path, toy_network, monkeypatch) -> Path:
    """Two clips, a pipeline that changes nothing, and a recogniser without convolutions."""
    for seed in (1, 2):
        clip(tmp_path / f"clip{seed}.mp4", seed)
    toy_network(tmp_path / "toy.xml", 32)
    spec = {"name": "toy", "file": "toy.xml", "input": "x", "size": 32, "dimension": 3}
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(spec))

    def unchanged(path, target, config, overwrite, end):
        assert config.verify.mode == "off"
        encoded_again(Path(path), Path(target), 10_000, 10)

    monkeypatch.setattr(section, "redact", unchanged)
    monkeypatch.setattr(looks_run, "Finder", Here)
    monkeypatch.setattr(looks_run, "FaceMesh", Mean)
    return tmp_path


def call(folder: Path, *more: str) -> int:
    words = ["evaluate", str(folder), "--only", "looks", "-o", str(folder / "out.html"), "-q"]
    return stream_anon([*words, "-m", "pixelate", "-a", str(folder / "toy.yaml"), *more])


def test_every_table_is_there_and_what_could_not_be_measured_ends_with_1(setting, capsys):
    assert call(setting) == 1
    out, err = capsys.readouterr()
    assert [Path(line).name for line in out.split()] == ["out.html", "out.json", "out.worst.png"]
    assert "not measured: looks: critic: toy.xml: has no convolution" in err
    assert "not measured: looks: detail, close-ups, pixelate: no face tells it" in err
    found = json.loads((setting / "out.json").read_text())["sections"][0]
    assert len(found["not_run"]) == err.count("not measured:")
    first, steady, frechet = found["tables"]
    figures = dict(zip([c["title"] for c in first["columns"]], first["rows"][0], strict=True))
    # Nothing was changed: the encoder is all that there is.
    assert figures["clip"] == "all"
    assert figures["mouth r"] > 0.95
    assert figures["direction, median degrees"] < 0.5
    assert figures["drawn %"] == 1.0
    assert figures["flicker"] == pytest.approx(1.0, abs=0.25)
    assert steady["rows"][0][:3] == ["pixelate", "all", 2]
    assert steady["rows"][0][-1]["value"] == steady["rows"][0][-2]["value"] == 0.0
    assert [row[1] for row in frechet["rows"]] == ["pixelate", "clear (floor)"]
    assert "Worst frames first, pixelate" in (setting / "out.html").read_text()
    assert cv2.imread(str(setting / "out.worst.png")) is not None


def test_a_missing_recogniser_and_a_broken_clip_cost_nothing_else(setting, capsys):
    (setting / "toy.xml").unlink()
    (setting / "clip2.mp4").write_bytes(b"no video")
    assert call(setting) == 1
    err = capsys.readouterr().err
    assert "looks: cosine and Frechet distance: attacker toy: toy.xml is not in" in err
    assert "not measured: looks: critic: there is no recogniser" in err
    assert "not measured: looks: clip2.mp4, pixelate:" in err
    assert str(setting) not in (setting / "out.json").read_text()
    found = json.loads((setting / "out.json").read_text())["sections"][0]
    assert [row[0] for row in found["tables"][0]["rows"]] == ["all", "clip1"]


def test_a_clip_is_encoded_again_frame_by_frame(tmp_path):
    source = clip(tmp_path / "clip.mp4", 3, frames=9)
    encoded_again(source, tmp_path / "again.mp4", 5, 10)
    old, new = list(frames_of(source)), list(frames_of(tmp_path / "again.mp4"))
    assert len(new) == 5
    for one, other in zip(old, new, strict=False):
        assert np.abs(one.astype(int) - other).mean() < 4.0
    with pytest.raises(InputError):
        encoded_again(tmp_path / "gone.mp4", tmp_path / "again.mp4", 5, 10)
