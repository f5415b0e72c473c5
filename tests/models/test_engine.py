"""The engine: shapes are free, calls are safe from any thread, and nobody is told of them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stream_anon.errors import ModelError
from stream_anon.models import engine, registry
from stream_anon.models.engine import Engine


@pytest.fixture(scope="module")
def centerface() -> Path:
    try:
        return registry.path("centerface")
    except ModelError as error:
        pytest.skip(f"no weights and no index: {error}")


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = 2x + 1 with a frozen shape, as an OpenVINO file."""
    openvino = engine.runtime()
    ops = openvino.opset13
    x = ops.parameter([1, 3, 4, 4], np.float32, name="x")
    y = ops.add(ops.multiply(x, np.float32(2)), np.float32(1), name="y")
    y.output(0).set_names({"y"})
    x.output(0).set_names({"x"})
    path = tmp_path_factory.mktemp("engine") / "doubled.xml"
    openvino.save_model(openvino.Model([y], [x]), path, compress_to_fp16=False)
    return path


def test_a_frozen_shape_is_replaced(doubled: Path) -> None:
    net = Engine(doubled, {"x": (1, 3, 6, 5)}, "f32")
    given = np.random.default_rng(0).normal(size=(1, 3, 6, 5)).astype(np.float32)
    (answer,) = net([given])
    assert (net.inputs, net.outputs, net.precision) == (("x",), ("y",), "f32")
    np.testing.assert_allclose(answer, 2 * given + 1, rtol=1e-6)


@pytest.mark.parametrize("colours", ["RGB", "BGR"])
def test_images_become_planes_in_the_wanted_order(doubled: Path, colours: str) -> None:
    net = Engine(doubled, {"x": (1, 3, 6, 5)}, "f32", images=colours)
    image = np.random.default_rng(0).integers(0, 256, (1, 6, 5, 3), np.uint8)
    planes = image[..., ::-1] if colours == "RGB" else image
    (answer,) = net([image])
    np.testing.assert_allclose(answer, 2.0 * planes.transpose(0, 3, 1, 2) + 1)


def test_answers_belong_to_the_caller_whatever_thread_asks(doubled: Path) -> None:
    net = Engine(doubled, {"x": (1, 3, 32, 32)}, "f32", threads=2)
    with ThreadPoolExecutor(4) as pool:
        given = [np.full((1, 3, 32, 32), k, np.float32) for k in range(40)]
        answers = list(pool.map(lambda one: net([one])[0], given))
    for k, answer in enumerate(answers):
        assert (answer == 2 * k + 1).all()


def test_nan_passes_through_and_does_not_stay(doubled: Path) -> None:
    net = Engine(doubled, None, "f32")
    assert np.isnan(net([np.full((1, 3, 4, 4), np.nan, np.float32)])[0]).all()
    assert (net([np.zeros((1, 3, 4, 4), np.float32)])[0] == 1).all()


def test_what_does_not_fit_is_refused(doubled: Path, tmp_path: Path) -> None:
    net = Engine(doubled, None, "f32")
    with pytest.raises(ValueError, match="1 inputs"):
        net([])
    with pytest.raises(ValueError):
        net([np.zeros((1, 3, 5, 5), np.float32)])
    for broken in (tmp_path / "absent.onnx", tmp_path / "broken.onnx"):
        (tmp_path / "broken.onnx").write_bytes(b"no network")
        with pytest.raises(ModelError) as caught:
            Engine(broken)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError):
        Engine(doubled, {"nobody": (1,)})


def test_auto_is_bf16_only_where_the_processor_computes_in_it() -> None:
    can = engine.core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert engine.choose_precision("auto") == ("bf16" if "BF16" in can else "f32")
    assert engine.choose_precision("f32") == "f32"


def test_centerface_runs_at_any_size(centerface: Path) -> None:
    for height, width in ((64, 96), (192, 320)):
        net = Engine(centerface, {"input.1": (1, 3, height, width)}, images="RGB")
        heat, *_ = net([np.zeros((1, height, width, 3), np.uint8)])
        assert heat.shape == (1, 1, height // 4, width // 4)
        assert np.isfinite(heat).all()


def test_the_engine_tells_nobody_and_leaves_no_trace(tmp_path: Path) -> None:
    code = (
        "import sys; from stream_anon.models import engine; assert 'openvino' not in sys.modules;"
        "engine.version(); engine.choose_precision();"
        "print([m for m in sys.modules if m.startswith('openvino_telemetry')])"
    )
    home = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=home, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_a_signal_is_handled_after_networks_came_and_went() -> None:
    # In a process of its own: where it fails, that process dies of it.
    code = (
        "import os, signal; from stream_anon.methods.generative import networks as identity; "
        "told = [];"
        "signal.signal(signal.SIGUSR1, lambda *_: told.append(1));"
        "first = identity.IdentityEncoder(); second = identity.IdentityGenerator();"
        "del first; del second;"
        "os.kill(os.getpid(), signal.SIGUSR1); print(told)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[1]\n"), done.stderr


def test_there_is_one_core_whatever_thread_asks_first() -> None:
    code = (
        "from concurrent.futures import ThreadPoolExecutor;"
        "from stream_anon.models import engine; runtime = engine.runtime();"
        "pool = ThreadPoolExecutor(8); asked = [pool.submit(engine.core) for _ in range(32)];"
        "print(len({id(a.result()) for a in asked}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_no_road_to_openvino_starts_its_telemetry():
    """Each in a process of its own: whatever touches the library first must keep it quiet."""
    roads = [
        "from stream_anon.models import engine; engine.core()",
        "from stream_anon.methods.generative.networks import IdentityEncoder; IdentityEncoder()",
        "from stream_anon.alignment.landmark_net import LandmarkFinder; LandmarkFinder()",
    ]
    for road in roads:
        told = "import sys; print('openvino_telemetry' in sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", f"{road}; {told}"],
            check=True, timeout=100, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout.strip() == "False", road
