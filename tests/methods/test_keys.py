"""No key outlives its run: every generator that a method makes is closed and overwritten."""

from __future__ import annotations

import numpy as np
import pytest

from stream_anon.config import MethodConfig
from stream_anon.geometry import TEMPLATE
from stream_anon.methods import make_method
from stream_anon.methods.base import Subject
from stream_anon.privacy import SecureRandom
from stream_anon.track_state import TrackState
from tests.fakes import noise


@pytest.fixture
def made(monkeypatch) -> list[SecureRandom]:
    """Every generator that is made from here on."""
    found: list[SecureRandom] = []
    start = SecureRandom._start

    def note(self, key, *, unsafe):
        start(self, key, unsafe=unsafe)
        found.append(self)

    monkeypatch.setattr(SecureRandom, "_start", note)
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"name": "identity"},
        {"name": "identity", "mechanism": "privunit", "epsilon": 8.0},
        {"name": "dp-image", "epsilon": 8.0},
        {"name": "visual-mixer"},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_every_key_is_wiped_when_the_method_is_closed(made, options):
    method = make_method(MethodConfig(**options))
    side = method.crop_size
    subject = Subject(TrackState(1), landmarks=TEMPLATE, size=100.0, score=0.9)
    method.render(noise(128, 128)[None, :side, :side].copy(), [subject])
    assert made, "a method that draws must have a generator"
    keys = [random._key for random in made]
    assert any(any(key) for key in keys)
    method.close()
    assert all(random.closed for random in made)
    assert not any(any(key) for key in keys)


@pytest.mark.parametrize("name", ["pixelate", "blur", "fill"])
def test_others_draw_nothing(made, name):
    method = make_method(MethodConfig(name=name))
    side = method.crop_size
    subject = Subject(TrackState(1), landmarks=TEMPLATE, size=100.0, score=0.9)
    method.render(np.ascontiguousarray(noise(128, 128)[None, :side, :side]), [subject])
    method.close()
    assert made == []
