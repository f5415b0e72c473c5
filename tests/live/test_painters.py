"""Several painting processes: who paints which camera, and that one dies without the other."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.live.operation.status import Status
from stream_anon.live.supervision import painters
from stream_anon.live.supervision.painters import Painters
from tests.live.harness import Live, config
from tests.live.peers.rtsp_server import Camera
from tests.live.test_faults import camera, judge


class Worker:
    """Stands where ``Process`` stands."""

    def __init__(self, name, begun):
        self.name, self.begun = name, begun
        self.running, self.alive, self.ending = True, False, False
        self.told = []
        self.starts, self.kills, self.counters = 1, 0, {}

    def end(self):
        self.ending = True

    def send(self, data, fds=()):
        self.told.append(data["type"])
        return True


@pytest.mark.parametrize(
    ("wanted", "device", "expected"), [(3, "cpu", 3), (2, "cuda", 2), ("auto", "cuda", 1)]
)
def test_how_many_there_may_be(wanted, device, expected):
    assert painters.most(wanted, device) == expected


def test_one_for_each_processor(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 5})
    assert painters.most("auto", "auto") == 3


@given(
    most=st.integers(1, 4),
    steps=st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefgh")), max_size=40),
)
def test_every_camera_has_one_painter_and_nobody_is_idle(most, steps):
    made = []

    def make(name, begun):
        made.append(Worker(name, begun))
        return made[-1]

    group, wanted = Painters(most, make), {}
    for add, name in steps:
        if add:
            wanted[name] = group.add(name)
        else:
            group.remove(name)
            wanted.pop(name, None)
    # Nobody is moved: a camera's tracks are in its painter's memory.
    assert {name: group.of(name) for name in "abcdefgh"} == {
        name: wanted.get(name) for name in "abcdefgh"
    }
    active = {id(one): one for one in wanted.values()}
    assert len(active) <= most
    assert len(group.names) == len(set(group.names)) == len(active)
    assert all(one.ending != (id(one) in active) for one in made)
    assert all(one.told == ["stop"] for one in made if one.ending)


@given(most=st.integers(1, 5), cameras=st.integers(1, 12))
def test_cameras_are_shared_out_evenly(most, cameras):
    group = Painters(most, Worker)
    load = Counter(group.add(str(number)).name for number in range(cameras))
    assert len(load) == min(most, cameras)
    assert max(load.values()) - min(load.values()) <= 1


def test_one_that_begins_anew_is_told_of_its_own_cameras_alone():
    group, told = Painters(2, Worker), []
    group.begun = told.append
    for name in "abc":
        group.add(name)
    group.of("b").begun()
    assert told == ["b"]
    group.of("a").begun()
    assert told == ["b", "a", "c"]


def test_counts_go_on_when_painters_come_and_go():
    status = Status()
    assert not status.alive()
    status.cameras(["a"])
    status.painting(["painter 1", "painter 2"])
    one, two = Worker("painter 1", None), Worker("painter 2", None)
    one.starts, one.kills = 4, 1
    one.counters = {"cameras": {"a": {"frames_out": 70, "slates": 0}}}
    status.painter(one)
    # A painter that nobody has heard of yet is none that lives.
    assert not status.alive()
    status.painter(two)
    assert status.alive()
    assert status.painters == (3, 1)
    status.painting(["painter 2"])
    assert status.painters == (3, 1)
    # The camera comes to the other one.
    two.counters = {"cameras": {"a": {"frames_out": 5, "slates": 0}}}
    status.painter(two)
    assert status.snapshot()["a"]["painter"]["frames_out"] == 75
    # What was on its way when it ended counts nothing.
    status.painter(one)
    assert status.snapshot()["a"]["painter"]["frames_out"] == 75


def test_one_dies_and_the_other_goes_on(tmp_path):
    with Camera() as first, Camera() as second:
        both = [camera("a", first, tmp_path), camera("b", second, tmp_path)]
        with Live(config(tmp_path, both, painters=2)) as live:
            live.more("a", 5)
            live.more("b", 5)
            group = live.run.supervisor.painters
            assert group.of("a").pid != group.of("b").pid
            before, other = group.of("a").pid, group.of("b").pid
            os.kill(before, signal.SIGKILL)
            live.until(lambda: group.of("a").pid not in (None, before))
            live.more("a", 10)
            live.more("b", 10)
            assert group.of("b").pid == other
            assert live.run.status.painters == (1, 0)
            pids = [group.of(name).pid for name in "ab"]
        assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
    judge(tmp_path / "a.mkv")
    judge(tmp_path / "b.mkv")
