"""BlazeFace, full range: a detector of another make, to look again at what was released.

Bazarevsky, Kartynnik et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs",
2019, and the model card of MediaPipe's full-range variant: one anchor of the input's size in
every cell of 4x4 pixels, for each a logit, a box and six landmarks in pixels from the cell's
centre.

The file is frozen at 192x192, where a face in a wide frame has no pixels left. The network is
convolutional throughout, so its graph is made free in height and width and looks at the whole
frame in several sizes, each half as large as the one before.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_anon.detection.network import NetworkDetector
from stream_anon.detection.suppression import Candidates
from stream_anon.models.engine import Engine, Precision, runtime

STRIDE = 4
"""Input pixels per cell."""

LEAST_SIDE = 320
"""The finest size has at least so long a longer side, unless the frame itself is smaller."""

LAST_SIDE = 64
"""Octaves go on down to this longer side: a face that fills the frame is seen only there."""

LARGEST_BOX = 4.0
"""Sides above so many times the input's are noise of empty cells."""

LANDMARKS = np.array([0, 1, 2, 3, 3])
"""Right eye, left eye, nose, mouth; the corners of the mouth are not told apart."""


class BlazeFace(NetworkDetector):
    """Blinder to small faces than CenterFace, but blind to others: what a second look needs."""

    name = "blazeface"
    smallest_input = 16.0

    def sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """Network inputs (width, height), finest first: octaves, since one size sees only faces
        of 16 to about 80 pixels well."""
        scale = self.smallest_input / self.config.smallest_face
        scale = max(scale, min(1.0, LEAST_SIDE / max(width, height)))
        found: list[tuple[int, int]] = []
        while not found or scale * max(width, height) >= LAST_SIDE:
            sides = [max(64, 32 * round(side * scale / 32)) for side in (width, height)]
            found.append((sides[0], sides[1]))
            scale /= 2
        return list(dict.fromkeys(found))

    def _engine(self, count: int, width: int, height: int) -> Engine:
        return _compiled(self.path, width, height, self.config.precision, self.threads)

    def _decode(
        self, outputs: dict[str, NDArray[np.float32]], width: int, height: int
    ) -> Candidates:
        values = next(v for v in outputs.values() if v.shape[-1] > 1)[0].astype(np.float64)
        logits = next(v for v in outputs.values() if v.shape[-1] == 1)[0, :, 0]
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -50.0, 50.0)))
        cells = np.flatnonzero(scores >= self.config.keep_threshold)
        across = width // STRIDE
        centre = (np.stack([cells % across, cells // across], axis=1) + 0.5) * STRIDE
        values = values[cells]
        half = np.clip(values[:, 2:4] / 2, 0.5, LARGEST_BOX * max(width, height) / 2)
        middle = np.clip(centre + values[:, :2], -width - height, 2 * (width + height))
        points = (centre[:, None] + values[:, 4:].reshape(-1, 6, 2))[:, LANDMARKS]
        return np.hstack([middle - half, middle + half]), points, scores[cells]


@lru_cache(maxsize=6)
def _compiled(path: Path, width: int, height: int, precision: Precision, threads: int) -> Engine:
    """Kept for the next file: compiling takes longer than a short file's check."""
    shape = {"input_1": (1, height, width, 3)}
    return Engine(path, shape, precision, threads, adapt=_free_size)


def _free_size(model: Any) -> Any:
    """The graph with free height and width, and BGR bytes for an input.

    Upsampling to a fixed size becomes upsampling by two, the outputs' fixed number of cells
    becomes "as many as there are".
    """
    ov = runtime()
    ops = ov.opset13
    for node in model.get_ops():
        if node.get_type_name() == "Interpolate":
            larger = ops.interpolate(
                node.input_value(0),
                ops.constant(np.array([2.0, 2.0], np.float32)),
                "linear_onnx",
                "scales",
                axes=ops.constant(np.array([1, 2], np.int64)),
                coordinate_transformation_mode="half_pixel",
            )
            node.output(0).replace(larger.output(0))
    for result in model.get_results():
        node = result.input_value(0).get_node()
        while node.get_type_name() != "Reshape":
            node = node.input_value(0).get_node()
        last = node.get_output_shape(0)[-1]
        cells = ops.constant(np.array([1, -1, last], np.int64))
        node.input(1).replace_source_output(cells.output(0))
    steps = ov.preprocess.PrePostProcessor(model)
    formats = ov.preprocess.ColorFormat
    first = steps.input(0)
    layout = ov.Layout("NHWC")
    first.tensor().set_element_type(ov.Type.u8).set_layout(layout).set_color_format(formats.BGR)
    first.model().set_layout(layout)
    given = first.preprocess().convert_element_type(ov.Type.f32).convert_color(formats.RGB)
    given.mean(127.5).scale(127.5)
    return steps.build()
