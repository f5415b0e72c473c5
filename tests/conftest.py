"""What all tests share: who is skipped for want of something, and where things lie."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from stream_anon.device import gpus

# As the command line does, before NumPy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


# The same examples at every run, so that a red run means a change; explore with
# `pytest --hypothesis-profile=explore`.
settings.register_profile("steady", derandomize=True)
settings.register_profile("explore", max_examples=300)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--extras-only``: what a plain install skips, for the second of CI's two runs."""
    parser.addoption(
        "--extras-only",
        action="store_true",
        help="run only what needs torch, another extra, or the clips beside the checkout",
    )


def _needs_more(item: pytest.Item) -> bool:
    """Whether a plain install with no clips beside it skips a test, or may."""
    if any(item.get_closest_marker(name) for name in ("train", "shared", "gpu")):
        return True
    if "shared" in getattr(item, "fixturenames", ()):
        return True
    return "importorskip" in _source(item.path)


@cache
def _source(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    if config.getoption("extras_only"):
        plain = [item for item in items if not _needs_more(item)]
        items[:] = [item for item in items if _needs_more(item)]
        config.hook.pytest_deselected(items=plain)
    absent = {}
    if not (SHARED / "media").is_dir():
        absent["shared"] = "the clips beside a developer's checkout are not here"
    if importlib.util.find_spec("torch") is None:
        absent["train"] = "the [train] extra is not installed"
    if not gpus():
        absent["gpu"] = "there is no NVIDIA GPU"
    if "slow" not in str(config.getoption("markexpr")):
        absent["slow"] = "slow: run by `make test-slow`"
    for item in items:
        for marker, reason in absent.items():
            if item.get_closest_marker(marker) is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of clips and networks beside a developer's checkout."""
    if not (SHARED / "media").is_dir():
        pytest.skip("the clips beside a developer's checkout are not here")
    return SHARED
