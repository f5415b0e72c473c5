"""Threads that stop together."""

from __future__ import annotations

import threading
import time

import pytest

from stream_anon.errors import Cancelled, StallFault
from stream_anon.pipeline.flow import Clock, Flow, Worker


def _count_to(channel, n):
    def body(worker: Worker) -> None:
        for i in range(n):
            channel.put(i)
        channel.close()

    return body


def test_items_arrive_in_order_and_the_flow_ends():
    flow = Flow(5.0)
    a, b = flow.channel(2), flow.channel(1)
    got: list[int] = []

    def double(worker: Worker) -> None:
        for item in a:
            b.put(2 * item)
        b.close()

    flow.worker("source", _count_to(a, 100))
    flow.worker("double", double)
    flow.worker("sink", lambda worker: got.extend(b))
    flow.run(lambda: None)
    assert got == [2 * i for i in range(100)]
    assert flow.stuck == ()


@pytest.mark.parametrize("broken", ["source", "middle", "sink"])
def test_an_error_anywhere_ends_everybody(broken):
    flow = Flow(5.0)
    a, b = flow.channel(1), flow.channel(1)

    def source(worker: Worker) -> None:
        for i in range(1000):
            if broken == "source" and i == 5:
                raise ValueError("source")
            a.put(i)
        a.close()

    def middle(worker: Worker) -> None:
        for i in a:
            if broken == "middle" and i == 5:
                raise ValueError("middle")
            b.put(i)
        b.close()

    def sink(worker: Worker) -> None:
        for i in b:
            if broken == "sink" and i == 5:
                raise ValueError("sink")

    for name, body in (("source", source), ("middle", middle), ("sink", sink)):
        flow.worker(name, body)
    with pytest.raises(ValueError, match=broken):
        flow.run(lambda: None)
    assert flow.stuck == ()


def test_an_error_in_the_tick_ends_everybody():
    flow = Flow(5.0)
    a = flow.channel(1)

    def endless(worker: Worker) -> None:
        while True:
            a.put(0)

    flow.worker("source", endless)

    def tick() -> None:
        raise RuntimeError("tick")

    with pytest.raises(RuntimeError, match="tick"):
        flow.run(tick)
    assert flow.stuck == ()


def test_cancel_ends_everybody():
    cancel = threading.Event()
    flow = Flow(5.0, cancel)
    a = flow.channel(1)

    def endless(worker: Worker) -> None:
        while True:
            a.put(0)

    flow.worker("source", endless)
    flow.worker("sink", lambda worker: [None for _ in a] and None)
    with pytest.raises(Cancelled):
        flow.run(cancel.set)
    assert flow.stuck == ()


def test_a_worker_that_hangs_is_reported_and_does_not_hold_the_caller():
    flow = Flow(0.3)
    release = threading.Event()

    def hang(worker: Worker) -> None:
        with worker.busy("detection", Clock()):
            # Until the test is over: the caller must not wait for it.
            release.wait()

    flow.worker("analyst", hang)
    with pytest.raises(StallFault, match=r"detection gave no answer for 0\.3 s"):
        flow.run(lambda: None)
    assert flow.stuck == ("stream-anon-analyst",)
    release.set()


def test_what_is_not_watched_may_take_its_time():
    flow = Flow(0.2)

    def body(worker: Worker) -> None:
        with worker.busy("finish", Clock(), watched=False):
            time.sleep(0.8)

    flow.worker("painter", body)
    flow.run(lambda: None)


def test_time_in_which_the_process_was_stopped_is_no_stall(monkeypatch):
    monkeypatch.setattr("stream_anon.pipeline.flow.GAP_SECONDS", 0.4)
    flow = Flow(0.6)

    def body(worker: Worker) -> None:
        with worker.busy("detection", Clock()):
            time.sleep(1.5)

    slept = iter([1.2])

    def tick() -> None:
        # As after Ctrl-Z or a lid that was closed: the thread that watches stood still, too.
        time.sleep(next(slept, 0.0))

    flow.worker("analyst", body)
    flow.run(tick)


def test_a_hang_after_the_process_was_stopped_is_still_a_stall(monkeypatch):
    monkeypatch.setattr("stream_anon.pipeline.flow.GAP_SECONDS", 0.4)
    flow = Flow(0.6)
    release = threading.Event()

    def body(worker: Worker) -> None:
        with worker.busy("detection", Clock()):
            release.wait(30.0)

    slept = iter([1.0])
    flow.worker("analyst", body)
    with pytest.raises(StallFault):
        flow.run(lambda: time.sleep(next(slept, 0.0)))
    release.set()


def test_waiting_on_a_queue_is_not_a_stall():
    flow = Flow(0.2)
    a = flow.channel(1)

    def slow(worker: Worker) -> None:
        time.sleep(0.6)  # not marked as busy: it waits for its turn
        a.put(1)
        a.close()

    got: list[int] = []
    flow.worker("source", slow)
    flow.worker("sink", lambda worker: got.extend(a))
    flow.run(lambda: None)
    assert got == [1]


def test_the_clock_counts_wall_and_processor_time():
    flow = Flow(5.0)
    clock = Clock()

    def body(worker: Worker) -> None:
        with worker.busy("sleep", clock):
            time.sleep(0.05)
        with worker.busy("work", clock):
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass

    flow.worker("one", body)
    flow.run(lambda: None)
    assert clock.wall["sleep"] >= 0.05 > clock.cpu["sleep"]
    assert clock.cpu["work"] >= 0.05


def _full(policy, items=(1, "a", 2, "b"), capacity=4):
    channel = Flow(5.0).channel(capacity, policy, lambda item: isinstance(item, int))
    for item in items:
        channel.put(item)
    return channel


def _rest(channel):
    channel.close()
    return list(channel)


def test_a_full_queue_drops_the_oldest_that_may_go():
    channel = _full("drop-oldest")
    channel.put(3)
    channel.put("c")
    assert channel.dropped == 2
    assert _rest(channel) == ["a", "b", 3, "c"]


def test_a_full_queue_drops_the_newest_if_that_may_go():
    channel = _full("drop-newest")
    channel.put(3)
    assert channel.dropped == 1
    assert _rest(channel) == [1, "a", 2, "b"]


@pytest.mark.parametrize("policy", ["block", "drop-oldest", "drop-newest"])
def test_what_may_not_be_dropped_waits_under_every_policy(policy):
    flow = Flow(5.0)
    channel = flow.channel(1, policy, lambda item: isinstance(item, int))
    got = []

    def source(worker: Worker) -> None:
        for name in "abcdefgh":
            channel.put(name)
        channel.close()

    flow.worker("source", source)
    flow.worker("sink", lambda worker: got.extend(channel))
    flow.run(lambda: None)
    assert "".join(got) == "abcdefgh"
    assert channel.dropped == 0


def test_a_stop_reaches_whoever_waits_with_what_may_not_be_dropped():
    flow = Flow(5.0)
    channel = flow.channel(1, "drop-oldest", lambda item: False)

    def source(worker: Worker) -> None:
        while True:
            channel.put("a")

    def broken(worker: Worker) -> None:
        raise ValueError("sink")

    flow.worker("source", source)
    flow.worker("sink", broken)
    with pytest.raises(ValueError, match="sink"):
        flow.run(lambda: None)
    assert flow.stuck == ()


def test_more_than_one_item_may_take_longer_and_no_longer_than_that():
    release = threading.Event()

    def run(allowance: float, lasts: float | None) -> None:
        flow = Flow(0.2)

        def body(worker: Worker) -> None:
            with worker.busy("drain", Clock(), allowance=allowance):
                release.wait(lasts)

        flow.worker("painter", body)
        flow.run(lambda: None)

    run(60.0, 0.8)
    with pytest.raises(StallFault, match=r"drain gave no answer for 0\.2 s"):
        run(0.0, None)
    release.set()
