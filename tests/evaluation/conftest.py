from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def toy_network() -> Callable[[Path, int], None]:
    """Writes a recogniser whose embedding is the mean colour: (n, 3, side, side) to (n, 3)."""
    import openvino
    from openvino import opset13

    def write(path: Path, side: int) -> None:
        images = opset13.parameter([-1, 3, side, side], np.float32, name="x")
        images.output(0).set_names({"x"})
        mean = opset13.reduce_mean(images, np.array([2, 3]), keep_dims=False)
        openvino.save_model(openvino.Model([mean], [images]), path, compress_to_fp16=False)

    return write
