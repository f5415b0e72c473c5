"""TensorFlow Lite networks in torch: every operator, and whole networks, against OpenVINO.

Tolerance with f32: 1e-4 of the largest answer for single operators, 1e-3 for whole networks; in
half precision a mesh's points move by 0.5 pixel of 192 on average at most.
"""

from __future__ import annotations

import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.alignment.landmark_net import LandmarkFinder
from stream_anon.alignment.mesh import FaceMesh
from stream_anon.detection.heads import BodyHeads
from stream_anon.errors import ModelError
from stream_anon.models import registry, torch_tflite
from stream_anon.models.backend import Backend
from stream_anon.models.engine import core, runtime
from stream_anon.models.torch_engine import TorchEngine

pytestmark = pytest.mark.train

TORCH = Backend("torch")


def by_torch(model, inputs: list[np.ndarray], monkeypatch) -> list[np.ndarray]:
    """A graph of OpenVINO's own making, as if it had been read from a file."""
    graph = torch_tflite.graph_of(model)
    monkeypatch.setattr(torch_tflite, "read", lambda path: graph)
    return TorchEngine("made.tflite", batches=None)(inputs)


def by_openvino(model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    answer = core().compile_model(model, "CPU", options)(inputs)
    return [np.array(answer[i]) for i in range(len(model.outputs))]


def constant(ops, rng, *shape: int):
    # Weights of 16 bits behind a Convert, as the files have them.
    values = rng.normal(0, 0.5, shape).astype(np.float16)
    return ops.convert(ops.constant(values), "f32")


def made(name: str, seed: int):
    """A graph about one operator, and an input."""
    ops, rng = runtime().opset13, np.random.default_rng(seed)
    high, wide = (int(v) for v in rng.integers(6, 15, 2))
    x = ops.parameter([2, 8, high, wide], np.float32)
    step = int(rng.integers(1, 3))
    pads = [[int(v) for v in rng.integers(0, 3, 2)] for _ in range(2)]
    if name == "Convolution":
        weights = constant(ops, rng, 4, 8, 3, 3)
        auto = str(rng.choice(["explicit", "same_upper", "valid"]))
        out = ops.convolution(x, weights, [step, step], *pads, [1, 1], auto)
    elif name == "GroupConvolution":
        weights = constant(ops, rng, 8, 1, 1, 3, 3)
        out = ops.group_convolution(x, weights, [step, step], *pads, [1, 1])
    elif name == "MaxPool":
        out = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [1, 1], [2, 2], "floor", "explicit").output(0)
    elif name == "Pad":
        out = ops.pad(x, [0, 1, 2, 0], [0, 3, 0, 1], "constant", np.float32(0.5))
    elif name == "PRelu":
        out = ops.prelu(x, constant(ops, rng, 1, 8, 1, 1))
    elif name == "Interpolate":
        turned = ops.transpose(x, [0, 2, 3, 1])
        out = ops.interpolate(
            turned, np.array([2 * high, 2 * wide]), "linear_onnx", "sizes",
            axes=np.array([1, 2]), coordinate_transformation_mode="half_pixel",
        )  # fmt: skip
    elif name == "DepthToSpace":
        mode = "blocks_first" if seed % 2 else "depth_first"
        out = ops.depth_to_space(x, mode, 2)
    elif name == "Clamp":
        out = ops.concat([ops.clamp(x, -0.5, 0.7), ops.relu(x), ops.sigmoid(x)], 1)
    else:
        out = ops.reshape(ops.multiply(x, ops.unsqueeze(x, [0])), [0, 2, 0, -1], True)
    model = runtime().Model([out], [x], "made")
    return model, [rng.normal(0, 1, (2, 8, high, wide)).astype(np.float32)]


KINDS = (
    "Convolution", "GroupConvolution", "MaxPool", "Pad", "PRelu", "Interpolate", "DepthToSpace",
    "Clamp", "Reshape",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(KINDS), seed=st.integers(0, 1 << 16))
def test_every_operator(name: str, seed: int) -> None:
    model, inputs = made(name, seed)
    with pytest.MonkeyPatch.context() as patch:
        (found,) = by_torch(model, inputs, patch)
    (wanted,) = by_openvino(model, inputs)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize(
    "kind", ["MaxPool", "Pad", "Interpolate"], ids=["ceil", "reflect", "corners"]
)
def test_a_manner_that_is_not_known_is_refused(kind: str, monkeypatch) -> None:
    ops = runtime().opset13
    x = ops.parameter([1, 4, 9, 9], np.float32)
    if kind == "MaxPool":
        out = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2], "ceil", "explicit").output(0)
    elif kind == "Pad":
        out = ops.pad(x, [0, 0, 1, 1], [0, 0, 1, 1], "reflect")
    else:
        out = ops.interpolate(
            x, np.array([18, 18]), "linear_onnx", "sizes", axes=np.array([2, 3]),
            coordinate_transformation_mode="align_corners",
        )  # fmt: skip
    model = runtime().Model([out], [x], "made")
    with pytest.raises(ModelError):
        by_torch(model, [np.zeros((1, 4, 9, 9), np.float32)], monkeypatch)


def network(name: str):
    try:
        return registry.path(name, None, fetch=False)
    except ModelError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("name", "side"), [("face_mesh", 192), ("body_pose", 224), ("blazeface", 192)]
)
def test_whole_networks(name: str, side: int) -> None:
    path = network(name)
    y, x = np.mgrid[:side, :side] / side
    shown = np.stack([np.sin(9 * x), np.cos(7 * y), x * y], axis=-1)[None].astype(np.float32)
    wanted = by_openvino(core().read_model(str(path)), [shown])
    found = TorchEngine(path)([shown])
    for one, two in zip(found, wanted, strict=True):
        assert one.shape == two.shape
        np.testing.assert_allclose(one, two, atol=1e-3 * max(1.0, np.abs(two).max()))


def faces(count: int, side: int) -> np.ndarray:
    """Smooth patches with two dark spots and a line: enough for a mesh to hold on to."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    out = np.full((count, side, side, 3), 150.0)
    for n in range(count):
        for cx, cy, wide in ((-0.15, -0.1, 0.002), (0.15, -0.1, 0.002), (0.01 * n, 0.2, 0.004)):
            spot = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / wide)
            out[n] -= 120.0 * spot[..., None]
    return out.astype(np.uint8)


@pytest.mark.parametrize("precision", ["f32", "bf16", "f16"])
def test_meshes(precision: str) -> None:
    network("face_mesh")
    crops = faces(3, 128)
    wanted, sure = FaceMesh(fetch=False)(crops)
    mesh = FaceMesh(fetch=False, backend=Backend("torch", precision=precision))
    found, presence = mesh(crops)
    off = np.abs(found - wanted)
    assert off.max() <= 0.02 if precision == "f32" else off.mean() <= 0.5
    np.testing.assert_allclose(presence, sure, atol=1e-3 if precision == "f32" else 0.1)
    with pytest.raises(ValueError):
        mesh._net(np.zeros((1, 64, 64, 3), np.float32))


def test_bodies() -> None:
    network("body_pose")
    pixels = faces(1, 256)[0]
    one = BodyHeads().detect(pixels, 1.0)
    two = BodyHeads(backend=TORCH).detect(pixels, 1.0)
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a.box, b.box, atol=0.05)


def test_landmarks_of_all_faces_at_once() -> None:
    crops = list(faces(3, 64)[..., 0])
    both = LandmarkFinder()(crops), LandmarkFinder(backend=TORCH)(crops)
    for one, two in zip(*both, strict=True):
        # OpenVINO computes in bf16 where the processor can.
        np.testing.assert_allclose(one, two, atol=0.25)
    points, errors = LandmarkFinder(backend=TORCH)([])
    assert points.shape == (0, 5, 2)
    assert errors.shape == (0,)


def test_a_network_with_other_outputs_is_refused() -> None:
    path = network("face_mesh")
    for backend in (TORCH, Backend()):
        with pytest.raises(ModelError, match="3 outputs are wanted, it has 2"):
            backend.rows(path, (192, 192, 3), 3)


def test_no_memory_for_a_batch_means_smaller_batches(monkeypatch) -> None:
    """Not an error: slower. Where a single row finds no memory, it is one."""
    import torch

    from stream_anon.models import WEIGHTS

    rows = np.random.default_rng(0).normal(0, 1, (7, 1, 64, 64)).astype(np.float32)
    wanted = TorchEngine(WEIGHTS / "landmarks.onnx")([rows])[0]
    net = TorchEngine(WEIGHTS / "landmarks.onnx", batches=(1, 2, 4, 8))
    walk, seen = net.walk, []

    def short(self, inputs, most=2):
        seen.append(len(inputs[0]))
        if len(inputs[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return walk(inputs)

    monkeypatch.setattr(net, "walk", types.MethodType(short, net))
    np.testing.assert_allclose(net([rows])[0], wanted, atol=1e-4)
    assert seen == [8, 4, 2, 2, 2, 1]
    net([rows])
    assert seen[6:] == [2, 2, 2, 1]
    monkeypatch.setattr(
        net, "walk", types.MethodType(lambda self, inputs: short(self, inputs, 0), net)
    )
    with pytest.raises(MemoryError, match="a batch of 1"):
        net([rows])


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no network")
    with pytest.raises(ModelError, match="broken.tflite: cannot be read"):
        TorchEngine(broken)
