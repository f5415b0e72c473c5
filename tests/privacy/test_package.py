"""What the package imports, exports, and says."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from stream_anon import privacy

FOLDER = Path(privacy.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
DOCS = FOLDER.parents[1] / "docs" / "privacy"


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_knows_nothing_of_video(path):
    own = {name for name in imported(path) if name.startswith("stream_anon")}
    # A track is a number here; what is kept for it is dropped by whoever follows it.
    allowed = ("stream_anon.errors", "stream_anon.privacy", "stream_anon.track_state")
    assert all(name.startswith(allowed) for name in own)
    assert not any(name.startswith(("random", "numpy.random")) for name in imported(path))
    assert "np.random" not in path.read_text(encoding="utf-8")


def test_it_starts_without_the_libraries_of_the_extra():
    code = (
        "import sys\n"
        "for name in ('scipy', 'opendp', 'dp_accounting', 'mpmath', 'pydantic', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "from stream_anon.privacy import Releases, mechanism, composition_table\n"
        "from stream_anon.track_state import TrackState\n"
        "import numpy as np\n"
        "code = np.eye(64)[0]\n"
        "for name in ('laplace', 'l2-laplace', 'vmf', 'privunit'):\n"
        "    made = mechanism(name, dimension=64, epsilon=2.0,\n"
        "                     **({'sampler': 'idealised'} if name == 'laplace' else {}))\n"
        "    releases = Releases(made)\n"
        "    releases.of(TrackState(1), code)\n"
        "    releases.ledger.to_json()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_export_is_there_on_purpose():
    assert privacy.__all__ == sorted(
        privacy.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n)
    )
    for name in privacy.__all__:
        assert getattr(privacy, name).__doc__ or name in ("Code", "Codes", "NAMES")


def test_no_argument_is_a_seed_by_another_name():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.arg) and "seed" in node.arg:
                assert node.arg == "unsafe_seed", path


def test_no_configuration_key_sets_a_seed():
    from stream_anon.config import Config, MethodConfig

    def keys(model):
        for name, field in model.model_fields.items():
            yield name
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                yield from keys(field.annotation)

    # A plug-in may bring a section of its own in the method's place: ours is named here.
    found = {*keys(Config), *keys(MethodConfig)}
    assert "mechanism" in found
    assert not [name for name in found if "seed" in name]


@pytest.mark.parametrize(
    "name", ["index", *(n for n in privacy.NAMES if not n.endswith("no-guarantee"))]
)
def test_every_mechanism_has_its_note(name):
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    assert len(text) > 600
    for never in ("GDPR-compliant", "guaranteed unrecognisable", "fully anonymous"):
        assert never not in text
    if name != "index":
        for heading in ("## Statement", "## Proof", "## Assumptions", "## Traps",
                        "## Not covered"):  # fmt: skip
            assert heading in text, heading
        assert f"docs/privacy/{name}.md" in " ".join(
            path.read_text(encoding="utf-8") for path in FILES
        )
