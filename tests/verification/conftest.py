"""The clips that most tests start from."""

from __future__ import annotations

import shutil

import pytest

from tests.verification import clips


@pytest.fixture(scope="session")
def _clip(tmp_path_factory):
    return clips.write(tmp_path_factory.mktemp("verified") / "person.mp4")


@pytest.fixture
def clip(_clip, tmp_path):
    """A copy in a folder of the test's own."""
    return shutil.copy(_clip, tmp_path / "person.mp4")
