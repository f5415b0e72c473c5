from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from stream_anon.cli import run as stream_anon
from stream_anon.detection.types import Face
from stream_anon.evaluation import run as running
from stream_anon.evaluation.plan import Profile
from stream_anon.geometry import TEMPLATE


class Everywhere:
    """A detector that finds every face where the template says."""

    def __init__(self, name="toy", models=None, threshold=0.5):
        self.name = name
        self.threshold = threshold

    def all(self, image):
        return [Face(np.array([20.0, 20.0, 110.0, 120.0]), TEMPLATE, 0.9)]

    def aligned(self, image, side=92.0):
        return self.all(image)[0]


@pytest.fixture
def setting(tmp_path: Path, toy_network, monkeypatch) -> dict[str, Path]:
    """Six people with three images each, whose face is a colour, and who tells colours apart."""
    toy_network(tmp_path / "toy.xml", 32)
    spec = {"name": "toy", "file": "toy.xml", "input": "x", "size": 32, "dimension": 3,
            "window": [40, 50, 48], "mean": [127, 127, 127]}  # fmt: skip
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(spec))
    rng = np.random.default_rng(0)
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for person, colour in enumerate(rng.integers(0, 256, (6, 3))):
            for number in range(3):
                noise = rng.integers(-25, 26, (128, 128, 3))
                image = np.clip(colour + noise, 0, 255).astype(np.uint8)
                content = cv2.imencode(".png", image)[1].tobytes()
                member = tarfile.TarInfo(f"p{person}_{number}.png")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    rows = [f"0,p{i}_0.png,p{i}_{k},1" for i in range(6) for k in ("1.png", "2.png")]
    rows += [f"0,p{i}_0.png,p{(i + k) % 6}_{k}.png,0" for i in range(6) for k in (1, 2)]
    (tmp_path / "pairs.csv").write_text("\n".join(["fold,a,b,same", *rows]))
    monkeypatch.setattr(running, "Finder", Everywhere)
    return {name: tmp_path / name for name in ("set.tar", "pairs.csv", "toy.yaml", "out.html")}


def call(setting: dict[str, Path], *more: str) -> int:
    words = [setting["set.tar"], setting["pairs.csv"], "-a", setting["toy.yaml"]]
    return stream_anon(["evaluate", *map(str, words), "-o", str(setting["out.html"]), *more])


def figures(setting: dict[str, Path], key: str, table: int = 0) -> dict[str, list]:
    data = json.loads(setting["out.html"].with_suffix(".json").read_text())
    section = next(s for s in data["sections"] if s["key"] == key)
    return {row[0]: row[1:] for row in section["tables"][table]["rows"]}


def test_clear_images_are_told_apart_and_one_colour_fill_is_not(setting, capsys):
    only = ("--only", "privacy", "--only", "leak", "--only", "utility")
    fill = ("-b", "fill:colour=[127,127,127]", "-b", "blur")
    assert call(setting, *only, *fill, "-m", "pixelate") == 0
    out, err = capsys.readouterr()
    assert [Path(line).name for line in out.split()] == ["out.html", "out.json"]
    assert "privacy: blur" in err
    rows = figures(setting, "privacy")
    assert rows["clear to clear (ceiling)"][0]["value"] == 0.0
    assert rows["clear to clear (ceiling)"][3]["value"] == 1.0
    # Blur and mosaic keep the colour, and this attacker looks at nothing else.
    assert rows["blur"][0]["value"] < 0.1
    assert rows["fill:colour=[127,127,127]"][0]["value"] > 0.3
    assert figures(setting, "leak")
    page = setting["out.html"].read_text()
    assert str(setting["out.html"].parent) not in page
    assert page.count("data:image/jpeg") >= 4


def test_a_method_that_cannot_be_built_is_reported_and_costs_nothing_else(setting, capsys):
    assert call(setting, "-q", "--only", "privacy", "-b", "blur", "-m", "smear") == 1
    assert "not measured: privacy: smear" in capsys.readouterr().err
    data = json.loads(setting["out.html"].with_suffix(".json").read_text())
    assert "smear" in data["skipped"]
    assert "Not run: smear" in data["sections"][0]["text"]


def test_a_second_run_takes_embeddings_from_the_cache(setting, tmp_path, monkeypatch):
    arguments = ("-q", "--only", "privacy", "-b", "blur", "-m", "pixelate")
    cache = ("--cache", str(tmp_path / "cache"))
    assert call(setting, *arguments, *cache) == 0
    first = figures(setting, "privacy")
    monkeypatch.setattr(
        "stream_anon.evaluation.attackers.recogniser.Recogniser.embed",
        lambda *a: pytest.fail("not cached"),
    )
    assert call(setting, *arguments, *cache) == 0
    assert figures(setting, "privacy") == first
    assert not list((tmp_path / "cache").glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--only", "privacies"), "no section 'privacies'"),
        (("--epsilon", "0"), "epsilon"),
        (("-b", "clear"), "always measured"),
        (("-b", "fill:x"), "KEY=VALUE"),
        (("--clips", "nothing*.mp4"), "no file"),
        (("-o", "page.txt"), "html"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_computed(setting, capsys, arguments, word):
    assert call(setting, *arguments) == 2
    assert word in capsys.readouterr().err
    assert not setting["out.html"].exists()


def test_a_quick_run_takes_only_the_images_its_pairs_need(setting, monkeypatch):
    small = Profile(2, 4, (1.0,), 10, 10, 10, 2, 2, 2)
    monkeypatch.setattr("stream_anon.evaluation.plan.QUICK", small)
    assert call(setting, "-q", "--quick", "--only", "privacy", "-b", "blur", "-m", "fill") == 0
    assert figures(setting, "privacy")["blur"][0]["count"] == 4


BASIS = np.linalg.qr(np.random.default_rng(7).normal(size=(128, 3)))[0]


class ToyEncoder:
    """The direction of the mean colour of the face, as a code."""

    name = "toy-encoder"

    def __init__(self, threads=1, backend=None):
        pass

    def __call__(self, crops):
        colour = crops[:, 50:90, 45:85].mean(axis=(1, 2)) - 127.0
        code = colour @ BASIS.T
        return (code / np.linalg.norm(code, axis=1, keepdims=True)).astype(np.float32)


class ToyGenerator:
    """The colour of a code, with stripes, so that it is not taken for nothing at all."""

    name = "toy-generator"
    mask = np.full((128, 128), 255, np.uint8)

    def __init__(self, threads=1, backend=None):
        pass

    def __call__(self, crops, landmarks, codes, drawings=None):
        colour = codes @ BASIS
        colour = colour / np.maximum(np.linalg.norm(colour, axis=1, keepdims=True), 1e-6)
        faces = np.tile((127.0 + 80.0 * colour)[:, None, None], (1, 128, 128, 1))
        faces[:, np.arange(128) // 16 % 2 == 0] += 12.0
        faces[:, np.arange(128) // 16 % 2 == 1] -= 12.0
        return np.clip(faces, 0, 255).astype(np.uint8)


def test_the_dial_turns_and_theory_meets_what_is_drawn(setting, monkeypatch):
    from stream_anon.evaluation.measures import dial
    from stream_anon.methods import identity
    from stream_anon.pipeline.painting.likeness import OldFaces

    root = np.eye(128, dtype=np.float32)
    for module in (identity, dial):
        monkeypatch.setattr(module, "prior", lambda name: (np.zeros(128, np.float32), root))
    monkeypatch.setattr(identity, "IdentityEncoder", ToyEncoder)
    monkeypatch.setattr(identity, "IdentityGenerator", ToyGenerator)
    # At the largest epsilon the new colour is the old one, which the gate would not let pass.
    monkeypatch.setattr(OldFaces, "shown_in", lambda self, crops: np.zeros(len(crops), np.bool_))
    arguments = ("-q", "--only", "privacy", "--only", "dial", "-b", "blur")
    # Far enough apart that chance cannot turn the dial back.
    steps = ("--mechanism", "vmf", "--epsilon", "300", "--epsilon", "100000")
    assert call(setting, *arguments, *steps) == 0
    rows = figures(setting, "dial")
    assert len(rows) == 3
    for row in rows.values():
        assert row[0] == pytest.approx(row[1]["value"], abs=0.06)
    assert rows["identity, vmf, epsilon 100000"][2]["value"] > 0.9
    data = json.loads(setting["out.html"].with_suffix(".json").read_text())
    rises = data["sections"][-1]["tables"][1]["rows"]
    assert [row[:2] + row[-1:] for row in rises] == [["toy", "vmf", "yes"]]
    assert setting["out.html"].read_text().count("<svg") == 2


def test_a_run_that_is_stopped_leaves_what_it_had_measured(setting, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("stream_anon.evaluation.measures.utility.utility", stop)
    only = ("-q", "--only", "privacy", "--only", "utility", "-b", "blur", "-m", "pixelate")
    assert call(setting, *only) == 130
    assert figures(setting, "privacy")["blur"]
    assert setting["out.html"].read_text().endswith("</html>\n")
