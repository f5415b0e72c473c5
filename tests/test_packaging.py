"""What a user installs: complete, light, and with its licences."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import stream_anon


def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())


def test_every_public_name_is_there():
    assert len(set(stream_anon.__all__)) == len(stream_anon.__all__)
    for name in stream_anon.__all__:
        assert getattr(stream_anon, name) is not None
    assert set(stream_anon.__all__) <= set(dir(stream_anon))


def test_importing_the_package_is_light():
    heavy = ("av", "cv2", "numpy", "openvino", "pydantic", "torch")
    code = f"import sys, stream_anon; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"


def test_every_dependency_has_its_line(root: Path):
    words = (root / "docs/architecture.md").read_text()
    for requirement in project(root)["project"]["dependencies"]:
        name = re.split(r"[<>=\[ ]", requirement)[0]
        assert f"`{name}`" in words, f"docs/architecture.md does not say why {name} is here"


def test_no_torch_by_default(root: Path):
    names = " ".join(project(root)["project"]["dependencies"])
    assert "torch" not in names
    assert "cupy" not in names


def test_constraints_lie_within_the_ranges(root: Path):
    packaging = pytest.importorskip("packaging.requirements")
    pinned = dict(
        line.lower().split("==")
        for line in (root / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
    found = project(root)["project"]
    wanted = [*found["dependencies"]]
    for extra in ("test", "train", "privacy", "dev"):
        wanted += found["optional-dependencies"][extra]
    for line in wanted:
        requirement = packaging.Requirement(line)
        if requirement.name != "stream-anon":
            assert requirement.specifier.contains(pinned[requirement.name.lower()]), line


def test_the_licence_is_apache_2(root: Path):
    text = (root / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_words_keep_to_what_is_measured(root: Path):
    """No document and no message promises what nobody can prove."""
    never = re.compile(
        r"GDPR[- ]compliant|guaranteed unrecogni[sz]able|mathematically guaranteed"
        r"|(?:fully|completely|truly|perfectly) anonym|unbreakable|100 ?% (?:safe|private|anonym)",
        re.IGNORECASE,
    )
    texts = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "configs").glob("*.yaml")]
    texts += [*(root / "stream_anon").rglob("*.py"), *(root / "pipelines").glob("*.py")]
    for path in texts:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if never.search(line) and "never" not in line.lower():
                pytest.fail(f"{path.relative_to(root)}:{number}: {line.strip()}")


def test_links_between_documents_lead_somewhere(root: Path):
    for page in [*root.glob("*.md"), *(root / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+\.\w+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(root)}: {target}"


@pytest.mark.slow
def test_the_wheel_is_whole_and_the_install_is_light(root: Path, tmp_path: Path):
    """Build the wheel, install it as a user would, and weigh and try the result."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, root], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in ("configs/redact.yaml", "configs/fast.yaml", "pipelines/redact.py"):
        assert f"stream_anon/_share/{wanted}" in names
    assert "stream_anon/models/models.yaml" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests") or "__pycache__" in name]

    home = tmp_path / "fresh"
    venv.create(home, with_pip=True)
    python = home / "bin/python"
    before = _megabytes(home)
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True)
    weight = _megabytes(home) - before
    print(f"site-packages of a CPU install: {weight:.0f} MB")
    assert weight < 600
    done = subprocess.run(
        [home / "bin/stream-anon", "config", "--presets"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert "careful" in done.stdout
    assert subprocess.run([home / "bin/stream-anon", "doctor"], check=False).returncode == 0
    torch = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    assert torch.returncode != 0


def _megabytes(folder: Path) -> float:
    packages = folder.glob("lib/*/site-packages/**/*")
    return sum(path.stat().st_size for path in packages if path.is_file()) / 1e6


def test_the_version_is_one(root: Path):
    assert stream_anon.__version__ == metadata.version("stream-anon")
    assert f"## {stream_anon.__version__}" in (root / "CHANGELOG.md").read_text()
