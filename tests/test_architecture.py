"""Imports run one way; the diagram in docs/architecture.md is held here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

GROUND = {
    "_version",
    "config",
    "device",
    "errors",
    "geometry",
    "plugins",
    "recipes",
    "regions",
    "sections",
    "track_state",
    "units",
    "yamlfile",
}
"""What everything may import."""

MAY_IMPORT: dict[str, set[str]] = {
    "_version": set(),
    "config": {"errors", "plugins", "regions", "sections", "units", "yamlfile"},
    "device": {"errors"},
    "errors": set(),
    "geometry": set(),
    "plugins": {"errors"},
    "recipes": {"errors"},
    "regions": set(),
    "sections": {"plugins", "units"},
    "track_state": set(),
    "units": set(),
    "yamlfile": set(),
    "live": {"methods"},
    "live.input": {"live", "media", "media.input"},
    "live.operation": {"live"},
    "live.output": {"live", "media.input"},
    "live.painting": {
        "detection",
        "live",
        "media",
        "media.device",
        "media.input",
        "media.output",
        "methods",
        "pipeline",
    },
    "live.run": {"live", "live.operation", "live.supervision"},
    "live.supervision": {"live", "live.operation"},
    "media": set(),
    "media.input": {"media"},
    "media.output": {"media", "media.input"},
    "media.compare": {"media", "media.input"},
    "media.device": {"kernels", "media", "media.input"},
    "detection": {"models"},
    "tracking": {"alignment", "alignment.mesh", "detection"},
    "alignment": {"models"},
    "privacy": set(),
    "models": set(),
    "kernels": set(),
    "visual_mixer": {"kernels"},
    "methods": {"alignment", "kernels", "models", "privacy", "visual_mixer"},
    "pipeline": {
        "alignment",
        "alignment.mesh",
        "detection",
        "kernels",
        "media",
        "media.device",
        "media.input",
        "media.output",
        "methods",
        "models",
        "tracking",
        "tracks",
        "verification",
    },
    "alignment.mesh": {"alignment", "models"},
    "api": {"media", "pipeline"},
    "evaluation": {
        "",
        "evaluation.attackers",
        "evaluation.data",
        "evaluation.measures",
        "evaluation.reporting",
        "media",
        "media.input",
        "media.output",
        "pipeline",
        "verification",
    },
    "evaluation.attackers": {
        "alignment",
        "alignment.mesh",
        "evaluation.data",
        "evaluation.scores",
        "models",
    },
    "evaluation.benchmarks": {
        "alignment",
        "api",
        "detection",
        "kernels",
        "media",
        "media.device",
        "media.input",
        "media.output",
        "methods",
        "models",
        "pipeline",
        "tracking",
    },
    "evaluation.data": {"api", "detection", "media", "methods", "pipeline"},
    "evaluation.looks": {
        "alignment",
        "alignment.mesh",
        "api",
        "evaluation.attackers",
        "evaluation.data",
        "evaluation.measures",
        "evaluation.reporting",
        "evaluation.scores",
    },
    "evaluation.measures": {
        "",
        "alignment",
        "evaluation.attackers",
        "evaluation.data",
        "evaluation.reporting",
        "evaluation.scores",
        "media.compare",
        "methods",
        "privacy",
    },
    "evaluation.reporting": {"evaluation.scores", "models"},
    "evaluation.scores": set(),
    "pipelines": {
        "detection",
        "media.device",
        "media.input",
        "methods",
        "pipeline",
        "training",
        "training.plan",
    },
    "tracks": {"media"},
    "training": {
        "alignment",
        "alignment.mesh",
        "methods",
        "models",
        "training.arch",
        "training.data",
        "training.generators",
        "training.landmarks",
        "training.plan",
        "training.runtime",
    },
    "training.arch": {"alignment", "alignment.mesh", "methods", "models"},
    "training.data": {"alignment", "methods", "training.runtime"},
    "training.generators": {
        "alignment",
        "alignment.mesh",
        "training.arch",
        "training.data",
        "training.landmarks",
        "training.runtime",
    },
    "training.landmarks": {"methods", "training.arch", "training.data", "training.runtime"},
    "training.plan": set(),
    "training.runtime": set(),
    "verification": {"detection", "media", "media.input", "models"},
    "visual_mixer.evaluation": {
        "evaluation.attackers",
        "evaluation.data",
        "evaluation.reporting",
        "evaluation.scores",
        "kernels",
        "visual_mixer",
    },
}
"""Beside the ground, and no more than is imported. ``""`` is the public API. The command line may
import everything."""


def modules() -> list[Path]:
    return sorted([*(ROOT / "stream_anon").rglob("*.py"), *(ROOT / "pipelines").glob("*.py")])


def dotted(path: Path) -> str:
    """The module of a file, without the package's own name; ``""`` is the package itself."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "stream_anon":
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of the table that a module lies in: the innermost one."""
    while module not in MAY_IMPORT and "." in module:
        module = module.rpartition(".")[0]
    return module


def part_of(path: Path) -> str:
    return room_of(dotted(path))


MODULES = {dotted(path) for path in modules()}


def imported_modules(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports, anywhere in it, but for type checking alone."""
    tree = ast.parse(path.read_text(), str(path))
    unread = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if id(node) in unread:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, inner = name.partition(".")
            if package == "stream_anon":
                while inner and inner not in MODULES:
                    inner = inner.rpartition(".")[0]
                yield inner


def imported(path: Path) -> Iterator[str]:
    """Rooms that a file imports from; ``""`` is the package itself."""
    return map(room_of, imported_modules(path))


def circles(graph: dict[str, set[str]]) -> list[str]:
    """What is left when, again and again, those are taken away that import nothing that is left."""
    left = dict(graph)
    while free := [name for name, others in left.items() if not others & (left.keys() - {name})]:
        for name in free:
            del left[name]
    return sorted(left)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path):
    part = part_of(path)
    if part in ("cli", "__main__", ""):
        return
    assert part in MAY_IMPORT, f"{part} has no place in the house yet: give it one above"
    allowed = MAY_IMPORT[part] | {part}
    if part not in GROUND:
        allowed |= GROUND
    wrong = set(imported(path)) - allowed
    assert not wrong, f"{path.relative_to(ROOT)} may not import {sorted(wrong)}"


def test_the_table_allows_no_more_than_is_imported():
    found: dict[str, set[str]] = {part: set() for part in MAY_IMPORT}
    for path in modules():
        if (part := part_of(path)) in found:
            found[part] |= set(imported(path)) - {part}
    idle = {part: sorted(MAY_IMPORT[part] - found[part]) for part in MAY_IMPORT}
    assert not {part: names for part, names in idle.items() if names}


def test_there_are_no_circles():
    assert not circles({part: set(names) - {""} for part, names in MAY_IMPORT.items()})
    graph = {dotted(path): set(imported_modules(path)) - {dotted(path), ""} for path in modules()}
    assert not circles(graph)


def test_the_command_line_is_imported_by_nobody():
    for path in modules():
        if part_of(path) not in ("cli", "__main__"):
            assert "cli" not in set(imported(path)), path


def test_media_faces_and_privacy_know_nothing_of_each_other():
    wings = ({"media"}, {"detection", "tracking", "alignment"}, {"privacy"})
    for path in modules():
        for wing in wings:
            if part_of(path).partition(".")[0] in wing:
                others = set().union(*(other for other in wings if other is not wing))
                assert not {name.partition(".")[0] for name in imported(path)} & others, path


def test_files_stay_readable():
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in modules()}
    assert not {name: count for name, count in lines.items() if count > 400}


def test_folders_stay_readable():
    folders = {path.parent for path in [*modules(), *(ROOT / "tests").rglob("*.py")]}
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert not {name: count for name, count in counts.items() if count > 15}


def test_one_place_imports_openvino():
    """Its plain import reports to a statistics service; ``engine.runtime`` keeps it from that."""
    importer = re.compile(r"^\s*(?:import|from) openvino\b", re.MULTILINE)
    found = [path for path in modules() if importer.search(path.read_text())]
    assert [path.name for path in found] == ["engine.py"], found


def test_one_place_makes_an_openvino_core():
    """Two that go in the wrong order leave a signal stack behind; see ``engine.core``."""
    found = [path for path in modules() if re.search(r"\bCore\(", path.read_text())]
    assert [path.name for path in found] == ["engine.py"], found
