"""`dp-image` with its own networks: what is released, for how long, and what is drawn from it."""

from __future__ import annotations

import numpy as np
import pytest

from stream_anon.config import FaultConfig, MethodConfig
from stream_anon.errors import ConfigError
from stream_anon.geometry import TEMPLATE
from stream_anon.media.cleared import FallbackLevel
from stream_anon.methods import METHODS, Subject, make_method
from stream_anon.methods.dp_image import EPSILON, DPImage
from stream_anon.pipeline.painting.gate import Compositor
from stream_anon.pipeline.painting.likeness import unchanged
from stream_anon.privacy.randomness import RandomnessError
from tests.fakes import MemoryFrame, noise, state, tracked
from tests.pipeline.portraits import portrait


def subject(track=1, seconds=0.0):
    return Subject(state(track), TEMPLATE.copy(), 110.0, 0.9, seconds)


@pytest.fixture
def method():
    made = DPImage(MethodConfig(name="dp-image"))
    yield made
    made.close()


def test_it_is_made_by_its_name():
    assert "dp-image" in METHODS
    made = make_method(MethodConfig(name="dp-image"))
    assert isinstance(made, DPImage)
    assert made.networks() == ("appearance_encoder", "appearance_generator")
    made.close()


def test_a_new_face_is_drawn_from_a_noisy_code(method):
    crops = portrait(0)[None]
    crops.setflags(write=False)
    rendered = method.render(crops, [subject()])
    assert rendered.crops.shape == (1, 128, 128, 3)
    assert rendered.crops.dtype == np.uint8
    assert not unchanged(crops, rendered.crops).any()
    assert rendered.masks is not None
    assert (rendered.masks[0] >= method.mask).all()


def test_the_code_is_the_track_s_and_is_encoded_once(method, monkeypatch):
    asked, drawn = [], []
    encode, draw = method.encode, method.draw
    monkeypatch.setattr(method, "encode", lambda c, p: (asked.append(len(c)), encode(c, p))[1])

    def watched(crops, landmarks, codes):
        drawn.append(codes.copy())
        return draw(crops, landmarks, codes)

    monkeypatch.setattr(method, "draw", watched)
    for seed, seconds in ((0, 0.0), (1, 1.0), (2, 2.0)):
        method.render(portrait(seed)[None], [subject(1, seconds)])
    method.render(portrait(0)[None], [subject(2, 3.0)])
    assert asked == [1, 1]
    assert len(drawn) == 4
    assert all((codes == drawn[0]).all() for codes in drawn[:3])
    assert not np.allclose(drawn[3], drawn[0])
    assert np.linalg.norm(drawn[0]) == pytest.approx(1.0, abs=1e-4)


def test_the_code_is_that_of_the_frame_and_of_unit_norm(method):
    points = np.repeat(TEMPLATE[None].astype(np.float32), 2, axis=0)
    codes = method.encode(np.stack([portrait(0), portrait(1)]), points)
    assert codes.dtype == np.float64
    assert np.linalg.norm(codes, axis=1) == pytest.approx(np.ones(2), abs=1e-3)
    assert not np.allclose(*codes)


def test_the_ledger_tells_its_budget(method):
    method.render(portrait(0)[None], [subject()])
    (line,) = method.privacy()["tracks"]
    assert line["epsilon"] == EPSILON
    assert "l2-laplace" in str(method.privacy())


def test_the_mechanism_follows_the_configuration():
    made = DPImage(MethodConfig(name="dp-image", epsilon=0.0))
    made.render(portrait(0)[None], [subject()])
    assert "independent" in str(made.privacy())
    made.close()
    with pytest.raises(ConfigError):
        DPImage(MethodConfig(name="dp-image", mechanism="laplace"))


def test_through_the_gate_a_face_is_drawn(method):
    raw = noise()
    raw[40:200, 40:200] = np.repeat(np.repeat(portrait(0, 80), 2, axis=0), 2, axis=1)
    frame = MemoryFrame(raw.copy())
    compositor = Compositor(method, FaultConfig(policy="stop"))
    assert compositor.clear(frame, [tracked(40, 40, 160)]).level is FallbackLevel.METHOD
    assert compositor.fallbacks.faces == 0
    assert np.abs(frame.rgb[90:150, 90:150].astype(int) - raw[90:150, 90:150]).mean() > 4


def test_after_close_nothing_is_released():
    made = DPImage(MethodConfig(name="dp-image"))
    made.close()
    with pytest.raises(RandomnessError):
        made.render(portrait(0)[None], [subject()])
