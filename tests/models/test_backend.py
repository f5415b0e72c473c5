"""Networks that take and give bytes, by either engine: the same faces.

Tolerance of a drawn face, in levels: 1 on average in f32, 3 in half precision. Codes: a cosine of
0.999 in f32, 0.99 in half precision.
"""

from __future__ import annotations

import numpy as np
import pytest

from stream_anon.geometry import TEMPLATE
from stream_anon.methods.generative.networks import (
    AppearanceAutoencoder,
    IdentityEncoder,
    IdentityGenerator,
    prior_codes,
)
from stream_anon.models import WEIGHTS
from stream_anon.models.backend import OPENVINO, Backend
from tests.models.test_torch_tflite import faces

pytestmark = pytest.mark.train

PRECISIONS = [
    ("f32", 1.0, 0.999),
    pytest.param("bf16", 3.0, 0.99, marks=pytest.mark.slow),
    ("f16", 3.0, 0.99),
]


@pytest.mark.parametrize(("precision", "levels", "cosine"), PRECISIONS)
def test_the_same_faces_and_codes(precision: str, levels: float, cosine: float) -> None:
    torch = Backend("torch", precision=precision)
    crops, landmarks = faces(3, 128), np.tile(TEMPLATE.astype(np.float32), (3, 1, 1))
    codes = prior_codes(3, np.random.default_rng(0))
    drawings = np.zeros((3, 128, 128, 4), np.uint8)
    drawings[:, 40:80, 50:70] = (120, 90, 80, 255)
    for given in (None, drawings):
        wanted, found = (
            IdentityGenerator(1, "f32" if backend is OPENVINO else "auto", backend)(
                crops, landmarks, codes, drawings=given
            )
            for backend in (OPENVINO, torch)
        )
        assert found.shape == wanted.shape
        assert found.dtype == np.uint8
        assert np.abs(found.astype(int) - wanted).mean() <= levels
    one, two = (
        IdentityEncoder(1, "f32" if backend is OPENVINO else "auto", backend)(crops)
        for backend in (OPENVINO, torch)
    )
    assert ((one * two).sum(axis=1) >= cosine).all()


def test_both_halves_of_dp_image() -> None:
    crops, landmarks = faces(2, 128), np.tile(TEMPLATE.astype(np.float32), (2, 1, 1))
    found = []
    for backend in (OPENVINO, Backend("torch")):
        both = AppearanceAutoencoder(1, "f32", backend)
        codes = both.encode(crops)
        found.append((codes, both.decode(codes, landmarks, crops).astype(int)))
    (code, drawn), (other, redrawn) = found
    assert ((code * other).sum(axis=1) >= 0.999).all()
    assert np.abs(drawn - redrawn).mean() <= 1.0


def test_inputs_are_told_by_name() -> None:
    net = Backend("torch").bytes(
        WEIGHTS / "identity_encoder.onnx", 1, "f32", {"pictures": ((127.5,) * 3, (127.5,) * 3)},
        bytes_out=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match="the inputs are pictures"):
        net({"images": np.zeros((1, 128, 128, 3), np.uint8)})
