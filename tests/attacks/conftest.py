"""The clip that every attempt starts from."""

from __future__ import annotations

import shutil
import threading

import pytest

from tests.attacks import scene


@pytest.fixture(scope="session")
def _clip(tmp_path_factory):
    return scene.write_clip(tmp_path_factory.mktemp("scene") / "scene.mp4")


@pytest.fixture
def clip(_clip, tmp_path):
    """A copy in a folder of the test's own."""
    return shutil.copy(_clip, tmp_path / "scene.mp4")


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """Whatever a test does in this process, its threads end with it."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.is_alive()]
    for thread in left:
        thread.join(5.0)
    assert not [t.name for t in left if t.is_alive()]
