"""Torture clips, made where the frames and the detector are here or can be fetched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream_anon.errors import ModelError
from stream_anon.models import registry
from tests.fakes import encode_the_same_twice
from tests.torture import clips
from tests.torture.film import Clip
from tests.torture.images import BACKDROPS, PORTRAITS, image


@pytest.fixture(scope="session", autouse=True)
def _frames() -> None:
    try:
        for name in [*(p.image for p in PORTRAITS), *BACKDROPS]:
            image(name)
        registry.path("centerface")
    except ModelError as error:
        pytest.skip(f"not here, and no index to ask: {error}")


@pytest.fixture(autouse=True)
def _same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    encode_the_same_twice(monkeypatch)


@pytest.fixture
def film(tmp_path: Path) -> Iterator[Callable[..., Clip]]:
    """``film(kind, seed, large=False)`` makes a clip, which goes when the test is over."""
    made: list[Clip] = []

    def make(kind: str, seed: int, large: bool = False) -> Clip:
        made.append(clips.clip(kind, seed, tmp_path, large))
        return made[-1]

    yield make
    for clip in made:
        clip.path.unlink(missing_ok=True)
