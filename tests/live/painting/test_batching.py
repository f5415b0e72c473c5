"""Several cameras, one network: what they ask at the same time is run together, and only theirs."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.errors import DetectorFault
from stream_anon.live.painting.batching import LARGEST, SharedDetector, Together
from tests.live.scene import Finder


class Network:
    """Answers with each image's first sample; keeps the sizes of its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()
        self.inside = 0

    def __call__(self, images):
        self.inside += 1
        assert self.inside == 1, "one at a time"
        self.go.wait(60)
        self.batches.append(len(images))
        self.inside -= 1
        if (images[:, 0, 0, 0] == 13).any():
            raise DetectorFault("thirteen")
        return [int(image[0, 0, 0]) for image in images]


def images(*values: int, side: int = 8) -> np.ndarray:
    return np.stack([np.full((side, side, 3), value, np.uint8) for value in values])


def ask(network: Network, requests: list[np.ndarray]) -> list:
    """All at once, while the network is busy with something else; answers or errors."""
    together = Together(network)
    found: list = [None] * len(requests)

    def body(k: int) -> None:
        try:
            found[k] = together(requests[k])
        except DetectorFault as error:
            found[k] = error

    first = threading.Thread(target=together, args=(images(1),))
    first.start()
    threads = [threading.Thread(target=body, args=(k,)) for k in range(len(requests))]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    while len(together._waiting) < len(requests) and time.monotonic() < until:
        time.sleep(0.001)
    network.go.set()
    for thread in (first, *threads):
        thread.join(60)
        assert not thread.is_alive()
    return found


@given(
    st.lists(
        st.tuples(st.sampled_from((8, 16)), st.lists(st.integers(14, 255), min_size=1, max_size=4)),
        max_size=6,
    )
)
def test_everybody_gets_his_own_answers(asked):
    network = Network()
    found = ask(network, [images(*values, side=side) for side, values in asked])
    assert found == [values for _, values in asked]
    assert max(network.batches) <= 8
    assert sum(network.batches) == 1 + sum(len(values) for _, values in asked)


def test_what_waits_is_one_batch():
    network = Network()
    assert ask(network, [images(20), images(21, 22), images(23)]) == [[20], [21, 22], [23]]
    assert network.batches == [1, 4]


def test_what_fails_for_one_camera_fails_for_no_other():
    found = ask(Network(), [images(20), images(13), images(21)])
    assert [found[0], found[2]] == [[20], [21]]
    assert isinstance(found[1], DetectorFault)


def test_large_tiles_are_run_one_by_one():
    network = Network()
    side = int(LARGEST**0.5) + 1
    assert ask(network, [images(20, side=side), images(21, side=side)]) == [[20], [21]]
    assert network.batches == [1, 1, 1]


def test_a_detector_of_somebody_else_is_asked_by_one_at_a_time():
    inside, most = [], []

    class Careful(Finder):
        def detect(self, view, quarter_turns=0):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()
            return []

    shared = SharedDetector(Careful())
    threads = [threading.Thread(target=shared.detect, args=(None,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_cameras_see_together_what_they_see_alone():
    from stream_anon.config import DetectorConfig
    from stream_anon.detection.registry import make_detector
    from stream_anon.errors import ModelError
    from tests.fakes import MemoryFrame

    # Noise in which the network doubts a little: what is compared are faint candidates.
    faint = DetectorConfig(threshold=0.03, keep_threshold=0.01)
    try:
        plain = make_detector(faint, None)
        shared = SharedDetector(make_detector(faint, None))
    except ModelError as error:
        pytest.skip(str(error))
    rng, block = np.random.default_rng(3), np.ones((8, 8, 1), np.uint8)
    views = [
        MemoryFrame(np.kron(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), block))
        for _ in range(6)
    ]
    regions = np.array([[10.0, 10.0, 60.0, 60.0]])
    alone = [plain.look(view, 0, regions) for view in views]
    found: list = [None] * len(views)

    def body(k: int) -> None:
        found[k] = shared.look(views[k], 0, regions)

    threads = [threading.Thread(target=body, args=(k,)) for k in range(len(views))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    compared = 0
    for one, other in zip(alone, found, strict=True):
        assert (one.areas is None) == (other.areas is None)
        for face in one.faces:
            if face.score < 0.02:
                continue
            # Another batch may round bf16 otherwise.
            near = [c for c in other.faces if np.abs(c.box - face.box).max() < 2.0]
            assert near
            assert abs(near[0].score - face.score) < 0.01
            compared += 1
    assert compared
