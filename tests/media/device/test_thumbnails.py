"""What the detector looks at stays on the device: no copy of a thumbnail in the host's memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream_anon.config import DetectorConfig
from stream_anon.errors import DetectorFault, ModelError
from stream_anon.media.device.frame import DeviceFrame, from_av
from stream_anon.media.device.kernels import DeviceKernels
from stream_anon.models import registry
from tests.fakes import MemoryFrame

pytestmark = pytest.mark.train

F32 = DetectorConfig(precision="f32")


class Hidden:
    """A frame that lends nothing: what it shows crosses the host."""

    def __init__(self, frame: DeviceFrame) -> None:
        self._frame = frame
        self.width, self.height = frame.width, frame.height

    def thumbnail(self, width: int, height: int) -> np.ndarray:
        return self._frame.thumbnail(width, height)


@pytest.fixture
def frame(shim) -> DeviceFrame:
    """A face of 512 pixels beside noise, on the twin."""
    import av
    import cv2

    try:
        registry.path("centerface")
        picture = cv2.imread(str(registry.path("astronaut")))
    except ModelError as error:
        pytest.skip(f"no weights and no index: {error}")
    wide = np.random.default_rng(5).integers(0, 60, (512, 960, 3)).astype(np.uint8)
    wide[:, 200 : 200 + picture.shape[1]] = picture
    made = av.VideoFrame.from_ndarray(wide, format="bgr24").reformat(format="yuv420p")
    return from_av(made, shim)


@pytest.fixture
def copies(shim: DeviceKernels, monkeypatch) -> list[tuple[int, ...]]:
    """Shapes of all that is copied from the device to the host."""
    found: list[tuple[int, ...]] = []
    module = type(shim["maps"])
    fetch = module.fetch

    def counted(self: Any, array: Any) -> Any:
        found.append(array.shape)
        return fetch(self, array)

    monkeypatch.setattr(module, "fetch", counted)
    return found


REGIONS = np.array([[380.0, 60.0, 620.0, 300.0]])


def seen(detector, view, turns):
    """All three ways to look."""
    return [
        detector.detect(view, turns),
        detector.look(view, turns, REGIONS).faces,
        detector.glance(view, turns, REGIONS, 60.0).faces,
    ]


@pytest.mark.parametrize("turns", [0, 1])
def test_the_same_faces_without_a_copy(frame, copies, turns):
    from stream_anon.detection.on_torch import TorchCenterFace

    detector = TorchCenterFace(F32, device="cpu")
    on_the_way = seen(detector, Hidden(frame), turns)
    assert len(copies) == 3
    copies.clear()
    there = seen(detector, frame, turns)
    assert copies == []
    if not turns:
        assert all(on_the_way)
    for host, device in zip(on_the_way, there, strict=True):
        assert len(host) == len(device)
        for a, b in zip(host, device, strict=True):
            # Coarse looks are shrunk by torch instead of OpenCV, which differs by a level.
            assert np.abs(a.box - b.box).max() <= 0.5
            assert abs(a.score - b.score) <= 0.02


def test_what_is_lent_is_the_thumbnail_in_the_devices_own_memory(frame, shim, copies):
    import torch

    lent = []

    def take(array: Any) -> Any:
        lent.append(array)
        return torch.from_dlpack(array)

    tensor = frame.lend_thumbnail(320, 160, take)
    assert tensor.data_ptr() == shim["maps"].address(lent[0])
    assert copies == []
    np.testing.assert_array_equal(tensor.numpy(), frame.thumbnail(320, 160))


def test_shrinking_is_that_of_the_host():
    import torch

    from stream_anon.detection.on_torch import TorchCenterFace

    detector = TorchCenterFace.__new__(TorchCenterFace)
    pixels = np.random.default_rng(1).integers(0, 256, (270, 483, 3)).astype(np.uint8)
    for size in ((320, 192), (96, 64), (160, 90), (483, 270)):
        host = detector._smaller(pixels, *size).astype(int)
        there = detector._smaller(torch.from_numpy(pixels), *size).numpy().astype(int)
        assert host.shape == there.shape
        assert np.abs(host - there).max() <= 1


def test_a_lent_thumbnail_of_another_shape_is_a_fault():
    import torch

    from stream_anon.detection.on_torch import TorchCenterFace

    class Odd(MemoryFrame):
        def lend_thumbnail(self, width, height, take):
            return torch.zeros(height, width + 1, 3, dtype=torch.uint8)

    try:
        detector = TorchCenterFace(F32, device="cpu")
    except ModelError as error:
        pytest.skip(str(error))
    with pytest.raises(DetectorFault, match="a thumbnail came as"):
        detector.detect(Odd(np.zeros((64, 96, 3), np.uint8)))
