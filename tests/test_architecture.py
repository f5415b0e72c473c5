"""Imports run one way; the picture in docs/architecture.md is held here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

GROUND = {
    *("errors", "geometry", "config", "regions", "recipes", "device", "units", "yamlfile"),
    "_version",
}
"""What everything may import."""

MAY_IMPORT = {
    "errors": set(),
    "geometry": set(),
    "_version": set(),
    "regions": set(),
    "config": {"errors", "units", "yamlfile"},
    "units": set(),
    "yamlfile": set(),
    "recipes": {"errors"},
    "device": {"errors"},
    "optim": set(),
    "video": set(),
    # Plain data in a file: neither frames nor arrays.
    "tracks": set(),
    "faces": {"networks"},
    "privacy": set(),
    "kernels": set(),
    "networks": {"kernels"},
    "methods": {"networks", "privacy", "kernels"},
    # Knows nothing of what was painted where: only the two files.
    "verification": {"video", "faces", "networks"},
    "pipeline": {"video", "faces", "methods", "networks", "tracks", "verification"},
    "pipelines": {"pipeline", "video", "faces", "methods", "networks", "training"},
    "api": {"pipeline", "video"},
    # Beside the pipeline, for data sets: pictures in a training loop, no video.
    "transforms": {"kernels", "privacy"},
    "training": {"optim", "networks", "privacy", "kernels", "methods", "faces", "evaluation"},
    "evaluation": {"pipeline", "video", "faces", "methods", "networks", "privacy", "kernels"}
    | {"optim", "api", "verification", ""},
    "demo": {"cli", "evaluation", "networks"},
    "__main__": {"cli"},
}
"""Beside the ground. ``""`` is the public API. The command line may import everything."""


def modules() -> list[Path]:
    return sorted([*(ROOT / "stream_anon").rglob("*.py"), *(ROOT / "pipelines").glob("*.py")])


def part_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    if relative.parts[0] == "pipelines":
        return "pipelines"
    inner = relative.parts[1]
    return inner.removesuffix(".py") if inner.endswith(".py") else inner


def imported(path: Path) -> Iterator[str]:
    """Parts of the package that a module imports, anywhere in it; ``""`` is the package itself."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
            if node.module == "stream_anon":
                names = [f"stream_anon.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "stream_anon":
                inner = parts[1] if len(parts) > 1 else ""
                known = (ROOT / "stream_anon" / inner).is_dir() or (
                    ROOT / "stream_anon" / f"{inner}.py"
                ).is_file()
                yield inner if known else ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path):
    part = part_of(path)
    if part in ("cli", "__init__"):
        return
    assert part in MAY_IMPORT, f"{part} has no place in the house yet: give it one above"
    allowed = MAY_IMPORT[part] | {part}
    if part not in GROUND:
        allowed |= GROUND
    wrong = set(imported(path)) - allowed
    assert not wrong, f"{path.relative_to(ROOT)} may not import {sorted(wrong)}"


def test_the_command_line_is_imported_by_nobody():
    for path in modules():
        if part_of(path) not in ("cli", "demo", "__main__"):
            assert "cli" not in set(imported(path)), path


def test_video_faces_and_privacy_know_nothing_of_each_other():
    three = {"video", "faces", "privacy"}
    for path in modules():
        if part_of(path) in three:
            assert not set(imported(path)) & (three - {part_of(path)}), path


def test_files_stay_readable():
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in modules()}
    assert not {name: count for name, count in lines.items() if count > 450}


def test_one_place_imports_openvino():
    """Its plain import reports to a statistics service; ``engine.runtime`` keeps it from that."""
    importer = re.compile(r"^\s*(?:import|from) openvino\b", re.MULTILINE)
    found = [path for path in modules() if importer.search(path.read_text())]
    assert [path.name for path in found] == ["engine.py"], found


def test_one_place_makes_an_openvino_core():
    """Two that go in the wrong order leave a signal stack behind; see ``engine.core``."""
    found = [path for path in modules() if re.search(r"\bCore\(", path.read_text())]
    assert [path.name for path in found] == ["engine.py"], found
