"""The same weight files through torch and through OpenVINO: the same answers.

Tolerance with f32, relative to the largest answer: 1e-3. Two networks may be further off: the
identity encoder (2e-2), whose activations are stored in 8 bits, so that a value on the border of
two steps falls to either side; and the generators (4e-2 in a few pixels, 2e-3 on average), which
look colours up at places. With half precision: 0.05 on average, relative to the answers' deviation.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

from stream_anon.errors import ModelError
from stream_anon.models import WEIGHTS, registry
from stream_anon.models.engine import Engine
from stream_anon.models.torch_engine import TorchEngine

pytestmark = pytest.mark.train

SHAPES = {
    "landmarks": [(1, 64, 64)],
    "identity_encoder": [(3, 128, 128)],
    "appearance_encoder": [(3, 128, 128)],
    "identity_generator": [(4, 128, 128), (5, 64, 64), (58,), (2, 3), (128,), (4, 128, 128)],
    "appearance_generator": [(4, 128, 128), (5, 64, 64), (58,), (2, 3), (64,)],
}


FURTHER = {"identity_encoder": 2e-2, "identity_generator": 4e-2, "appearance_generator": 4e-2}


def given(name: str, rows: int, seed: int = 0) -> list[np.ndarray]:
    """What the network is fed with, roughly: smooth pictures in [-1, 1], transforms, unit codes."""
    rng = np.random.default_rng(seed)
    out = []
    for shape in SHAPES[name]:
        if len(shape) == 3:
            y, x = np.mgrid[: shape[1], : shape[2]] / shape[1]
            waves = rng.uniform(2, 9, (rows, shape[0], 2, 1, 1))
            values = np.sin(waves[:, :, 0] * x + waves[:, :, 1] * y)
        elif shape == (2, 3):
            values = np.tile([[1.0, 0.05, 0.1], [-0.05, 1.0, -0.1]], (rows, 1, 1))
            values = values + rng.normal(0, 0.02, values.shape)
        else:
            values = rng.standard_normal((rows, *shape))
            values /= np.linalg.norm(values, axis=1, keepdims=True)
        out.append(values.astype(np.float32))
    return out


def by_openvino(name: str, inputs: list[np.ndarray]) -> list[np.ndarray]:
    path = WEIGHTS / f"{name}.onnx"
    names = TorchEngine(path).inputs
    shapes = {n: array.shape for n, array in zip(names, inputs, strict=True)}
    return Engine(path, shapes, "f32")(inputs)


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_answers_as_openvino(name: str) -> None:
    inputs = given(name, 2)
    wanted = by_openvino(name, inputs)
    found = TorchEngine(WEIGHTS / f"{name}.onnx")(inputs)
    most = FURTHER.get(name, 1e-3)
    for one, two in zip(found, wanted, strict=True):
        assert one.shape == two.shape
        assert one.dtype == np.float32
        assert np.abs(one - two).max() <= most * max(1.0, np.abs(two).max())
        assert np.abs(one - two).mean() <= 2e-3


@pytest.mark.parametrize("precision", ["bf16", "f16"])
@pytest.mark.parametrize("name", ["identity_generator", "landmarks"])
def test_half_precision_is_close(name: str, precision: str) -> None:
    inputs = given(name, 2)
    wanted = TorchEngine(WEIGHTS / f"{name}.onnx")(inputs)
    found = TorchEngine(WEIGHTS / f"{name}.onnx", precision=precision)(inputs)
    for one, two in zip(found, wanted, strict=True):
        assert np.isfinite(one).all()
        assert np.abs(one - two).mean() <= 0.05 * two.std()


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_a_batch_is_filled_up_and_divided(rows: int) -> None:
    """Each row's answer is its own, whatever it is run beside."""
    inputs = given("landmarks", rows)
    path = WEIGHTS / "landmarks.onnx"
    wanted = TorchEngine(path, batches=None)(inputs)
    found = TorchEngine(path, batches=(1, 2, 4))(inputs)
    for one, two in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_the_detector_answers_alike() -> None:
    try:
        path = registry.path("centerface")
    except ModelError as error:
        pytest.skip(f"no weights and no index: {error}")
    rng = np.random.default_rng(0)
    for width, height in ((96, 64), (160, 128)):
        image = rng.integers(0, 256, (1, 3, height, width)).astype(np.float32)
        wanted = Engine(path, {"input.1": image.shape}, "f32")([image])
        net = TorchEngine(path, batches=None)
        found = net([image])
        assert net.outputs == ("537", "538", "539", "540")
        for one, two in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, two, atol=2e-3 * max(1.0, np.abs(two).max()))


@pytest.mark.gpu
@pytest.mark.parametrize("name", SHAPES)
def test_the_same_answers_on_a_gpu(name: str) -> None:
    inputs = given(name, 3)
    wanted = by_openvino(name, inputs)
    path = WEIGHTS / f"{name}.onnx"
    for precision, most in (("f32", 2e-2), ("f16", 0.2)):
        net = TorchEngine(path, "cuda:0", precision)
        for _ in range(2):
            for one, two in zip(net(inputs), wanted, strict=True):
                assert np.abs(one - two).max() <= most * max(1.0, np.abs(two).max())


def test_what_is_wrong_is_said_in_one_line(tmp_path, monkeypatch) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with pytest.raises(ModelError, match="broken.onnx: "):
        TorchEngine(broken)
    net = TorchEngine(WEIGHTS / "landmarks.onnx")
    with pytest.raises(ValueError, match="1 inputs are wanted"):
        net([])
    with pytest.raises(ValueError):
        net([np.zeros((1, 3, 64, 64), np.float32)])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModelError, match="onnx is not installed"):
        TorchEngine(WEIGHTS / "landmarks.onnx")


def test_an_operator_that_is_not_known_is_refused(tmp_path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Erf", ["x"], ["y"])], "one", [value], [made])
    path = tmp_path / "one.onnx"
    onnx.save(helper.make_model(graph), str(path))
    with pytest.raises(ModelError, match="the operator Erf"):
        TorchEngine(path)
