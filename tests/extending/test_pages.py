"""The pages of docs/extending, done step by step from outside of the package.

Each page's code blocks are written to a folder as a package with its metadata, as an installer
would leave it, and run in a process of its own: what the pages say cannot rot.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import av
import numpy as np
import pytest

from tests.attacks.scene import FRAMES, corner, frame, leaks, write_clip
from tests.pipeline.painting.test_many_targets import decoded, share_of

PAGES = Path(__file__).resolve().parents[2] / "docs" / "extending"
FENCE = re.compile(r"^(?:`([\w.]+)`:\n\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def install(page: str, site: Path) -> dict[str, str]:
    """Write a page's files as an installed distribution; returns its blocks by language."""
    blocks = FENCE.findall((PAGES / page).read_text())
    site.mkdir()
    found = {}
    for name, language, text in blocks:
        found[language] = text
        if language == "python":
            (site / name).write_text(text)
    register(site, page.removesuffix(".md"), tomllib.loads(found["toml"])["project"])
    return found


def register(site: Path, name: str, project: dict) -> None:
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def stream_anon(site: Path, *words: str) -> subprocess.CompletedProcess:
    paths = [str(site), str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "stream_anon", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def redact(site: Path, folder: Path, config: str, *words: str) -> dict:
    """Run the command on ``scene.mp4`` with a page's configuration; returns the report."""
    (folder / "options.yaml").write_text(config + "verify: {mode: 'off'}\n")
    done = stream_anon(
        site, "redact", str(folder / "scene.mp4"), "-o", str(folder / "out.mp4"), "-q",
        "--config", str(folder / "options.yaml"), "--report", str(folder / "report.json"), *words,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "report.json").read_text())


@pytest.fixture
def scene(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    write_clip(folder / "scene.mp4")
    return folder


def test_adding_a_detector(tmp_path, scene):
    blocks = install("adding-a-detector.md", tmp_path / "site")
    report = redact(tmp_path / "site", scene, blocks["yaml"], "--method", "pixelate")
    assert leaks(scene, scene / "scene.mp4") == []
    assert report["detector"] == "texture"
    assert report["config"]["detector"]["contrast"] == 30.0
    assert report["frames"]["with_faces"] == FRAMES


def test_adding_a_method(tmp_path, scene):
    """Beside a detector of the other page: two packages at once."""
    install("adding-a-detector.md", tmp_path / "site")
    blocks = install("adding-a-method.md", tmp_path / "more")
    site = Path(os.pathsep.join([str(tmp_path / "site"), str(tmp_path / "more")]))
    config = blocks["yaml"] + "detector: {name: texture}\n"
    report = redact(site, scene, config, "--region", "0,0,60,30=smear")
    assert report["method"] == "smear"
    assert report["config"]["method"] == {"name": "smear", "length": 56}
    assert report["labels"]["region"]["methods"] == {"smear": FRAMES}
    before, after = decoded(scene / "scene.mp4"), decoded(scene / "out.mp4")
    smeared = []
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        x, y = (round(v) for v in corner(index))
        core = np.s_[y + 30 : y + 66, x + 30 : x + 66]
        smeared.append(new[core].astype(float).std() / old[core].astype(float).std())
    assert max(smeared) < 0.5
    assert leaks(scene, scene / "scene.mp4") == []


def test_adding_a_target(tmp_path):
    site = tmp_path / "site"
    blocks = install("adding-a-target.md", site)
    folder = tmp_path / "work"
    folder.mkdir()
    with av.open(str(folder / "scene.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.options = {"crf": "8", "preset": "ultrafast"}
        for index in range(30):
            rgb = np.full((240, 320, 3), 96, np.uint8)
            rgb[100:140, 40 + 3 * index : 100 + 3 * index] = (220, 20, 20)
            rgb[110:130:4, 40 + 3 * index : 100 + 3 * index] = (220, 60, 60)
            container.mux(video.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(video.encode())
    # The page's `pixelate`, and a solid colour that can be told from red.
    report = redact(site, folder, blocks["yaml"])
    assert report["labels"]["sign"]["methods"] == {"pixelate": 30}
    assert report["labels"]["sign"]["tracks"] == 1
    green = "method: {name: fill, colour: [20, 200, 40]}\n" + blocks["yaml"].replace(
        "pixelate", "fill"
    )
    redact(site, folder, green, "-y")
    for index, rgb in enumerate(decoded(folder / "out.mp4")):
        area = rgb[100:140, 40 + 3 * index : 100 + 3 * index]
        assert share_of(area, (20, 200, 40)) > 0.97, index


def test_every_page_is_here_and_in_the_overview():
    pages = sorted(path.name for path in PAGES.glob("adding-*.md"))
    assert pages == ["adding-a-detector.md", "adding-a-method.md", "adding-a-target.md"]
    overview = (PAGES / "README.md").read_text()
    assert all(page in overview for page in pages)


def test_the_judge_can_tell(scene):
    assert frame(0).std() > 10
    assert leaks(scene, scene / "none.mp4"), "the raw clip must be seen through"
