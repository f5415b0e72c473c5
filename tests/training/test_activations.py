"""8-bit arithmetic in an exported encoder: nearly the same codes, no rounding where it harms."""

import shutil
from itertools import islice

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")
onnx = pytest.importorskip("onnx", reason="needs the [train] extra")
pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*NumPy.*writable.*:UserWarning"),
]

from stream_anon.models import WEIGHTS  # noqa: E402
from stream_anon.models.engine import Engine  # noqa: E402
from stream_anon.training.activations import quantise_activations  # noqa: E402
from stream_anon.training.arch.encoder import Encoder, EncoderSpec  # noqa: E402
from stream_anon.training.data.pack import read_images  # noqa: E402
from stream_anon.training.export import export  # noqa: E402

LFW = "faces/lfw_dev_128.tar"
SHAPE = {"pictures": (1, 3, 128, 128)}


def written(folder, slope):
    torch.manual_seed(1)
    net = Encoder(EncoderSpec((8, 8, 8, 16), (0, 1, 0, 1), code=32, negative_slope=slope)).eval()
    path = folder / "net.onnx"
    export(net, path, {"pictures": torch.zeros(2, 3, 128, 128)}, output="code", metadata={})
    return path


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-1, 1, (count, 3, 8, 8)).astype(np.float32)
    return np.ascontiguousarray(coarse.repeat(16, 2).repeat(16, 3))


def codes(path, shown):
    net = Engine(path, SHAPE, precision="f32")
    return np.concatenate([net([one[None]])[0] for one in shown])


def test_codes_hardly_turn_and_are_really_rounded(tmp_path):
    path = written(tmp_path, 0.0)
    shown = images(12, seed=7)
    before = codes(path, shown)
    convolutions = sum(node.op_type == "Conv" for node in onnx.load(path).graph.node)
    assert quantise_activations(path, images(32)) == convolutions - 1
    after = codes(path, shown)
    cosine = (before * after).sum(1)
    assert cosine.min() > 0.995
    assert not np.array_equal(before, after)
    graph = onnx.load(path, load_external_data=False).graph
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) == convolutions - 1
    onnx.checker.check_model(str(path))


def test_what_may_be_negative_is_refused(tmp_path):
    path = written(tmp_path, 0.2)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="negative"):
        quantise_activations(path, images(4))
    assert path.read_bytes() == before


def test_the_encoder_that_ships_computes_in_bytes():
    graph = onnx.load(WEIGHTS / "identity_encoder.onnx", load_external_data=False).graph
    made = {name: node for node in graph.node for name in node.output}
    fed = [node.input[0] for node in graph.node if node.op_type == "Conv"]
    rounded = [made[name].op_type == "DequantizeLinear" for name in fed if name in made]
    assert sum(rounded) == len(fed) - 1


def test_bytes_hardly_turn_the_codes_of_real_faces(shared, tmp_path):
    path = tmp_path / "identity_encoder.onnx"
    shutil.copy(WEIGHTS / "identity_encoder.safetensors", tmp_path)
    model = onnx.load(WEIGHTS / "identity_encoder.onnx", load_external_data=False)
    rounded = {n.output[0]: n.input[0] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    plain = {
        n.output[0]: rounded[n.input[0]]
        for n in model.graph.node
        if n.op_type == "DequantizeLinear" and n.input[0] in rounded
    }
    kept = [
        n
        for n in model.graph.node
        if n.op_type != "QuantizeLinear" and n.output[0] not in plain
    ]
    for node in kept:
        node.input[:] = [plain.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    path.write_bytes(model.SerializeToString())
    seen = np.stack([image for _, image in islice(read_images(shared / LFW), 0, 400, 4)])
    shown = np.ascontiguousarray((seen.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2))
    cosine = (codes(path, shown) * codes(WEIGHTS / "identity_encoder.onnx", shown)).sum(1)
    assert len(plain) == 15
    assert 0.998 < cosine.min() < 1.0
