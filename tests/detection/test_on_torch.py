"""The detectors in torch find what they find in OpenVINO."""

from __future__ import annotations

import numpy as np
import pytest

from stream_anon.config import DetectorConfig
from stream_anon.detection.centerface import CenterFace
from stream_anon.detection.on_torch import TorchCenterFace
from stream_anon.detection.registry import make_detector
from stream_anon.errors import ModelError
from stream_anon.models import registry
from tests.fakes import MemoryFrame

pytestmark = pytest.mark.train

F32 = DetectorConfig(precision="f32")


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """(512, 512, 3) RGB: a face."""
    import cv2

    try:
        registry.path("centerface")
        picture = cv2.imread(str(registry.path("astronaut")))
    except ModelError as error:
        pytest.skip(f"no weights and no index: {error}")
    return np.ascontiguousarray(picture[..., ::-1])


def same(one, other, pixels: float) -> None:
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert np.abs(a.box - b.box).max() <= pixels
        assert np.abs(a.landmarks - b.landmarks).max() <= pixels
        assert abs(a.score - b.score) <= 0.02


@pytest.mark.parametrize("turns", [0, 1])
def test_the_same_faces(portrait, turns) -> None:
    frame = MemoryFrame(np.ascontiguousarray(np.rot90(portrait, -turns)))
    found = TorchCenterFace(F32, device="cpu").detect(frame, turns)
    same(found, CenterFace(F32).detect(frame, turns), 0.2)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["f32", "auto"])
def test_the_same_faces_on_a_gpu(portrait, precision) -> None:
    frame = MemoryFrame(portrait)
    found = make_detector(DetectorConfig(precision=precision), device="cuda:0").detect(frame)
    same(found, CenterFace(F32).detect(frame), 0.2 if precision == "f32" else 4.0)


def test_the_device_decides_which(monkeypatch) -> None:
    made = []

    class Noted:
        def __init__(self, *given) -> None:
            made.append(given)

    monkeypatch.setattr("stream_anon.detection.on_torch.TorchImages", Noted)
    try:
        detector = make_detector(DetectorConfig(), device="cuda:0")
    except ModelError as error:
        pytest.skip(f"no weights and no index: {error}")
    assert type(detector) is TorchCenterFace
    assert made[0][1:] == ("cuda:0", "f16", "RGB")
    assert type(make_detector(DetectorConfig())) is CenterFace
    assert len(made) == 1
