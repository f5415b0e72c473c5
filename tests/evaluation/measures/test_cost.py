from __future__ import annotations

import time

import numpy as np

from stream_anon.errors import ModelError
from stream_anon.evaluation.measures import cost

IMAGES = np.zeros((4, 128, 128, 3), np.uint8)


def test_milliseconds_are_of_one_face():
    median, fastest, processor = cost.pace(lambda p: time.sleep(0.02), IMAGES, 3)
    assert 5.0 <= fastest <= median < 50.0
    assert processor < 2.5


def test_networks_that_are_missing_are_named(monkeypatch):
    def missing(*arguments, **options):
        raise ModelError("the weights are missing")

    names = ("IdentityEncoder", "IdentityGenerator", "AppearanceEncoder", "AppearanceGenerator")
    for name in names:
        monkeypatch.setattr(cost.identity, name, missing)
    monkeypatch.setattr(cost, "LandmarkFinder", missing)
    section = cost.cost(IMAGES, 1, lambda words: None)
    assert "Not run: identity encoder: the weights are missing" in section.text
    assert section.tables == []
