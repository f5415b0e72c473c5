"""How much a blur and a mosaic leave, held to their own formulas."""

from __future__ import annotations

import numpy as np
import pytest

from stream_anon.config import MethodConfig
from stream_anon.methods import make_method
from stream_anon.methods.blur import Blur
from stream_anon.methods.pixelate import Pixelate
from stream_anon.pipeline.painting.face_stabilizer import subject_of
from tests.fakes import noise, tracked


@pytest.mark.parametrize("deviation", [0.1, 0.22, 0.4])
def test_an_edge_becomes_as_flat_as_the_deviation_says(deviation):
    """Across an edge of height h the slope of a Gaussian blur is h / (sqrt(2 pi) sigma) at most."""
    side = Blur(deviation).crop_size
    crop = np.zeros((side, side, 3), np.uint8)
    crop[:, side // 2 :] = 240
    made = Blur(deviation).render(crop[None], [None]).crops[0].astype(float)
    # Over some pixels, since levels are whole numbers.
    span = max(2, side // 8)
    steepest = (made[:, span:] - made[:, :-span]).max() / span
    assert steepest <= 1.1 * 240 / (np.sqrt(2 * np.pi) * deviation * side) + 1.0 / span


def test_the_method_takes_the_deviation_of_the_configuration():
    crop = noise(32, 32, 3)[None]
    for deviation in (0.1, 0.22, 0.5):
        made = make_method(MethodConfig(name="blur", blur=deviation)).render(crop, [None]).crops
        np.testing.assert_array_equal(made, Blur(deviation).render(crop, [None]).crops)
    default = make_method(MethodConfig(name="blur")).render(crop, [None]).crops
    np.testing.assert_array_equal(default, Blur(0.22).render(crop, [None]).crops)


@pytest.mark.parametrize("size", [40, 90, 200, 900])
@pytest.mark.parametrize("cells", [4, 8, 12])
def test_a_mosaic_has_no_more_cells_than_asked_for(size, cells):
    method = Pixelate(cells)
    crops = noise(method.crop_size, method.crop_size, 5)[None]
    face = tracked(size=float(size))
    made = method.render(crops, [subject_of(face, 0.0, face.transform, None)]).crops[0]
    edges = (np.abs(np.diff(made.astype(int), axis=1)).sum(axis=(0, 2)) > 0).sum()
    assert edges + 1 <= cells
