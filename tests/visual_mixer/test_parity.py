"""The CUDA source and its NumPy twin give the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from stream_anon.kernels.compiling import cubin
from stream_anon.kernels.cuda import CupyModule, KernelError, Module, ShimModule
from stream_anon.visual_mixer import mix
from stream_anon.visual_mixer.batch import BatchMixer
from tests.visual_mixer.scenes import scene


@pytest.fixture(scope="module")
def shim(tmp_path_factory) -> Module:
    try:
        return ShimModule("visual_mixer", tmp_path_factory.mktemp("shim"))
    except KernelError as error:
        if "not installed" in str(error):
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="module")
def gpu() -> Module:
    return CupyModule("visual_mixer")


def compare(module: Module, size: tuple[int, int], target: float | None, **options: object) -> None:
    images = np.stack([scene(*size, seed, grey=seed == 2) for seed in range(3)])
    keys = [bytes([seed]) * 32 for seed in range(3)]
    batch = BatchMixer(module).mix(images, keys, target, **options)
    mixed = module.get(batch.images)
    for i, (image, key) in enumerate(zip(images, keys, strict=True)):
        one = mix.mix(image, key, target, **options)
        assert np.array_equal(one.image, mixed[i])
        assert np.array_equal(one.windows, batch.windows[i])
        assert (one.vfe, one.outcome, one.channels) == (
            batch.vfe[i],
            batch.outcomes[i],
            batch.channels[i],
        )


CASES = [
    ((112, 112), 100.0, {}),
    ((112, 112), None, {}),
    ((112, 112), 30.0, {"smallest": 2}),
    ((37, 53), 70.0, {"smallest": 1}),
    ((64, 48), 60.0, {"channels": 0.0}),
    ((70, 70), 90.0, {"region": 32, "channels": 0.4}),
    ((9, 2), 500.0, {}),
    ((32, 32), 60.0, {}),
    ((24, 20), 75.0, {"smallest": 2}),
]


@pytest.mark.parametrize(("size", "target", "options"), CASES)
def test_the_source_run_on_the_cpu_agrees_with_the_twin(shim, size, target, options):
    compare(shim, size, target, **options)


@pytest.mark.gpu
@pytest.mark.parametrize(("size", "target", "options"), CASES)
def test_the_source_run_on_a_gpu_agrees_with_the_twin(gpu, size, target, options):
    compare(gpu, size, target, **options)


@pytest.mark.parametrize("architecture", ["sm_75", "sm_90", "sm_120"])
def test_the_source_compiles_without_a_gpu(architecture: str):
    try:
        size = cubin("visual_mixer", architecture)
    except KernelError as error:
        if "not installed" in str(error):
            pytest.skip(str(error))
        raise
    assert size > 1000


def test_a_batch_needs_a_key_for_each_image(shim):
    images = np.zeros((2, 16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="as many keys"):
        BatchMixer(shim).mix(images, [bytes(32)], 50.0)
