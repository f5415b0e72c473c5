"""Synthetic faces for the training tests: blobs where the landmarks are."""

import numpy as np

from stream_anon.methods.generative.bottleneck import TEMPLATE
from stream_anon.training.data.pack import Pack


def make_pack(count: int = 24, seed: int = 0) -> Pack:
    rng = np.random.default_rng(seed)
    axis = np.arange(128) + 0.5
    landmarks = (TEMPLATE + rng.normal(0, 1.5, (count, 5, 2))).astype(np.float32)
    images = np.empty((count, 128, 128, 3), np.uint8)
    for i in range(count):
        image = np.full((128, 128, 3), rng.uniform(80, 200, 3))
        for x, y in landmarks[i]:
            bump = np.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / 60)
            image -= 70 * bump[..., None]
        images[i] = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    valid = np.ones((count, 128, 128), bool)
    valid[count // 2 :, :20] = False
    images[~valid] = 0
    names = np.array([f"{i}.png" for i in range(count)])
    return Pack(images, valid, landmarks, names, np.zeros(count, np.int64))
