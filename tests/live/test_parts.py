"""The parts that need no process: the time line, messages, shared memory, secrets, policy."""

from __future__ import annotations

import os
import pickle
import socket
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon.errors import ConfigError, GateError, OutputError
from stream_anon.live.backoff import JITTER, Backoff
from stream_anon.live.clock import TICKS
from stream_anon.live.config import EncoderConfig
from stream_anon.live.decoding import decoder_of
from stream_anon.live.input.timeline import TOLERANCE, LiveTimeline
from stream_anon.live.operation.lines import Lines
from stream_anon.live.operation.status import added
from stream_anon.live.output.recording import Recording
from stream_anon.live.output.targets import Template
from stream_anon.live.painting.encoder import Encoder
from stream_anon.live.painting.overload import Overload, ladder
from stream_anon.live.ring import PACKET_BYTES, PacketRing, Ring
from stream_anon.live.secret import Secret, SecretUrl, redacted, resolve
from stream_anon.live.wire import Wire, WireError
from tests.live.harness import Lines as Sink
from tests.live.scene import encoded

STAMPS = st.one_of(
    st.none(), st.floats(-1e6, 1e6), st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 2**33 / 90000, -1.0, 1e300]),
)  # fmt: skip


@given(st.lists(st.tuples(STAMPS, st.integers(0, 2 * TICKS)), min_size=1, max_size=120))
def test_whatever_the_stamps_say_time_goes_on(frames):
    line, now, last = LiveTimeline(), 0, None
    for count, (stamp, later) in enumerate(frames):
        now += later
        place = line.next(stamp, now)
        assert last is None or place > last
        assert place <= now + TOLERANCE + count + 1
        last = place
    # And it is back at the clock as soon as frames come at the clock's pace again.
    for index in range(200):
        now += TICKS // 25
        place = line.next(1000.0 + index / 25, now)
    assert abs(place - now) <= TICKS // 10


def test_steady_stamps_keep_their_distances_though_the_network_trembles():
    line, rng = LiveTimeline(), np.random.default_rng(3)
    places = []
    for index in range(500):
        arrival = index * TICKS // 25 + int(rng.integers(0, TICKS // 20))
        places.append(line.next(index / 25, arrival))
    steps = np.diff(places[100:])
    assert abs(steps - TICKS // 25).max() < TICKS // 250
    assert line.anchored == 1


def test_a_camera_whose_clock_is_slow_or_fast_is_followed():
    for rate in (0.999, 1.001):
        line = LiveTimeline()
        for index in range(20000):
            now = index * TICKS // 25
            place = line.next(index / 25 * rate, now)
        assert abs(place - now) < TICKS // 5
        assert line.anchored == 1


@given(
    st.lists(
        st.tuples(st.dictionaries(st.text(max_size=5), st.integers()), st.binary(max_size=200000)),
        max_size=4,
    )
)
def test_messages_arrive_as_they_were_sent(messages):
    here, there = Wire.pair()
    other = Wire(there)
    try:
        for data, blob in messages:
            sent = {**data, "type": "x"}
            assert here.send(sent, blob) if len(blob) < 150000 else True
            if len(blob) < 150000:
                got = other.receive(5.0)
                assert got is not None
                assert (got.data, got.blob) == (sent, blob)
    finally:
        here.close()
        other.close()


def test_a_wire_carries_descriptors_and_leaks_none():
    before = len(os.listdir("/proc/self/fd"))
    here, there = Wire.pair()
    other = Wire(there)
    read, write = os.pipe()
    assert here.send({"type": "a"}, fds=(write,))
    assert here.send({"type": "b"}, fds=(read, write))
    got = other.receive(5.0)
    assert got is not None
    os.write(got.fds[0], b"x")
    assert os.read(read, 1) == b"x"
    for one in (read, write, *got.fds):
        os.close(one)
    # The second message was never taken.
    other.receive(0.0)
    here.close()
    other.close()
    late = other.receive(0.0)
    assert late is None
    assert len(os.listdir("/proc/self/fd")) <= before + 2


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 12, b"\x02\0\0\0\0\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0\0\0\0\0{x",
        b"\x02\0\0\0\0\0\0\0\x01\0\0\0{}",
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(data):
    here, there = socket.socketpair()
    wire = Wire(there)
    here.sendall(data)
    with pytest.raises(WireError):
        wire.receive(5.0)
    here.close()
    wire.close()


def test_who_takes_no_messages_is_not_waited_for():
    wire, there = Wire.pair()
    # More than the kernel keeps for anybody.
    with pytest.raises(WireError, match="takes no messages"):
        wire.send({"type": "x"}, b"y" * (32 << 20), timeout=0.2)
    wire.close()
    there.close()


def test_a_wire_whose_other_end_went_says_so():
    wire, there = Wire.pair()
    there.close()
    assert wire.send({"type": "x"}) is False
    assert wire.receive(1.0) is None
    assert wire.ended
    wire.close()


def test_frames_in_shared_memory_are_whole_or_refused():
    ring = Ring.create(64, 48, 3)
    planes = [np.full((h, w), 7 * k + 1, np.uint8) for k, (w, h) in enumerate(ring.sizes)]
    ring.write(1, 42, planes)
    other = Ring(os.dup(ring.descriptor), 64, 48, 3)
    out = [np.zeros_like(plane) for plane in planes]
    assert other.read(1, 42, out)
    assert all((a == b).all() for a, b in zip(out, planes, strict=True))
    assert not other.read(1, 41, out), "another frame lies there"
    assert not other.read(0, 1, out), "nothing lies there"
    with pytest.raises(WireError):
        other.read(3, 1, out)
    # Nobody can take the memory away from under the reader.
    with pytest.raises(OSError):
        os.ftruncate(ring.descriptor, 0)
    for size in ((64, 48, 4), (66, 48, 3), (63, 48, 3), (0, 48, 3), (64, 48, 1000)):
        with pytest.raises(WireError):
            Ring(os.dup(ring.descriptor), *size)
    unsealed = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.ftruncate(unsealed, os.fstat(ring.descriptor).st_size)
    with pytest.raises(WireError, match="not sealed"):
        Ring(unsealed, 64, 48, 3)
    ring.close()
    ring.close()
    other.close()


@given(st.text(min_size=6, max_size=30).filter(lambda text: text.isprintable() and text.strip()))
def test_a_password_is_in_the_address_and_nowhere_else(password):
    template = "rtsp://viewer:${PW}@cam.example:554/live?channel=1"
    url = resolve(template, environment={"PW": password})
    assert SecretUrl(url.reveal()).reveal() == url.reveal()
    shown = f"{url} {url!r} {url.shown} {[url]} {Secret(password)!r} {Secret(password)}"
    if len(password) >= 8:
        assert password not in shown
    assert "cam.example" in url.shown
    told = redacted(f"cannot open {url.reveal()}: {password}", url.secrets)
    assert url.reveal() not in told
    for one in (url, Secret(password)):
        with pytest.raises(TypeError):
            pickle.dumps(one)


def test_a_stream_key_in_a_path_is_a_secret_too():
    url = resolve("rtmp://host/live/${KEY}", environment={"KEY": "abcdef-key"})
    assert url.reveal() == "rtmp://host/live/abcdef-key"
    assert url.shown == "rtmp://host/live/***"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("rtsp://u:plain-password@cam/1", "holds a password"),
        ("rtsp://u:${MISSING}@cam/1", "has no MISSING"),
    ],
)
def test_credentials_that_are_not_where_they_belong(template, words):
    with pytest.raises(ConfigError, match=words) as error:
        resolve(template, environment={})
    assert "plain-password" not in str(error.value)


def test_a_password_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        resolve("rtsp://cam", username="u", password_file=tmp_path / "x", environment={})


def test_waits_grow_to_a_limit_and_differ():
    backoff = Backoff(0.2, 1.4)
    waits = [backoff.wait() for _ in range(50)]
    assert all(wait <= 1.4 * (1 + JITTER) for wait in waits)
    assert waits[0] <= 0.2 * (1 + JITTER)
    assert len(set(waits[10:])) > 10
    told = 0
    for _ in range(86400):
        told += backoff.worth_telling
        backoff.wait()
    assert told < 110, "a day of a camera that is away"
    backoff.reset()
    assert backoff.worth_telling
    assert backoff.wait() <= 0.2 * (1 + JITTER)


def test_overload_gives_up_in_order_and_takes_back():
    steps = ladder(0.28, 0.5, ("pixelate", "fill"), "identity")
    assert [step.method for step in steps] == [None, None, None, "pixelate", "fill", "fill"]
    assert [step.drop for step in steps] == [False] * 5 + [True]
    intervals = [step.interval for step in steps[1:]]
    assert intervals == sorted(intervals)
    assert max(intervals) == 0.5
    policy = Overload(steps, 0.4, 2.0)
    levels, now = [], 0.0
    for lateness in [0.1] * 50 + [1.0] * 400 + [0.1] * 2000:
        now += 0.04
        policy.observe(lateness, now)
        levels.append(policy.level)
    assert max(abs(np.diff(levels))) == 1, "a step at a time"
    assert levels[49] == 0
    assert levels[449] == len(steps) - 1
    assert levels[-1] == 0
    # Half late is no reason to change anything.
    policy.level = 2
    for _ in range(1000):
        now += 0.04
        assert not policy.observe(0.3, now)


def test_frames_that_are_left_out_are_overload_too():
    """A ring of eight frames is full at 0.3 s: nothing that is in it is ever later."""
    steps = ladder(0.28, 0.5, ("pixelate", "fill"), "identity")
    policy, now = Overload(steps, 0.4, 2.0), 0.0
    for count in range(150):
        now += 0.04
        policy.observe(0.3, now, missed=count % 2 == 0)
    assert policy.level == 2
    # One in twenty is none, nor are several at once now and then.
    policy = Overload(steps, 0.4, 2.0)
    for count in range(1000):
        now += 0.04
        assert not policy.observe(0.1, now, missed=count % 20 == 0)
    policy = Overload(steps, 0.4, 2.0)
    for count in range(1000):
        now += 0.04
        assert not policy.observe(0.1, now, missed=3 * (count % 200 == 100))


@given(st.lists(st.floats(0, 5), max_size=300))
def test_overload_never_leaves_its_steps(latenesses):
    steps = ladder(0.25, 0.25, ("pixelate", "fill"), "pixelate")
    assert [step.method for step in steps] == [None, "fill", "fill"]
    policy = Overload(steps, 0.4, 0.1)
    for count, lateness in enumerate(latenesses):
        policy.observe(lateness, count * 0.04)
        assert policy.step in steps


def test_the_encoder_takes_cleared_frames_only():
    encoder = Encoder(320, 240, 25.0, EncoderConfig())
    for thing in (object(), None, np.zeros((240, 320, 3), np.uint8)):
        with pytest.raises(GateError):
            encoder.write(thing)  # type: ignore[arg-type]


def test_counters_of_processes_add_up():
    first = {"frames": 5, "latency": [1, 2], "state": "running", "down": {"black": 1}}
    second = {"frames": 3, "latency": [1, 0], "state": "waiting", "down": {"pixelated": 2}}
    assert added(first, second) == {
        "frames": 8, "latency": [2, 2], "state": "waiting", "down": {"black": 1, "pixelated": 2},
    }  # fmt: skip
    assert added({}, first) == first


def test_lines_hold_no_secret_and_are_one_line():
    out = Sink()
    lines = Lines("json", "info", lambda: ("geheim-123",), out)
    lines("warning", "cannot open rtsp://u:geheim-123@cam/1\nwith geheim-123")
    lines("debug", "not written")
    assert out.text.count("\n") == 1
    assert "geheim" not in out.text


def record(folder, count, **more):
    frames = encoded(320, 240)
    template = Template(frames[0][0], 25.0)
    recording = Recording(folder, "cam", template, **more)
    for index in range(count):
        data, key = frames[index % len(frames)]
        recording.write(data, index * TICKS // 25, TICKS // 25, key)
    recording.close()
    template.close()


def test_segments_are_removed_when_they_are_old_or_too_many(tmp_path):
    stranger = tmp_path / "cam-holiday.mp4"
    other = tmp_path / "cam2-20200101T000000Z.mp4"
    old = tmp_path / "cam-20200101T000000Z.mp4"
    for path in (stranger, other, old):
        path.write_bytes(b"x" * 1000)
        os.utime(path, (time.time() - 1000, time.time() - 1000))
    record(tmp_path, 100, segment=1.0, keep=500.0)
    assert not old.exists()
    segments = sorted(path.name for path in tmp_path.glob("cam-2*.mp4"))
    assert len(segments) == 4
    record(tmp_path, 100, segment=1.0, keep_bytes=30000)
    left = list(tmp_path.glob("cam-2*.mp4"))
    assert sum(path.stat().st_size for path in left) <= 30000
    assert stranger.exists(), "what is not ours is left alone"
    assert other.exists()


def test_a_recording_replaces_nothing_and_comes_back_from_a_crash(tmp_path):
    target = tmp_path / "x.mp4"
    target.write_bytes(b"mine")
    (tmp_path / ".x.mp4.part").write_bytes(b"left over")
    (tmp_path / ".x-1.mp4.part").write_bytes(b"left over")
    record(target, 30)
    assert target.read_bytes() == b"mine"
    assert (tmp_path / "x-1.mp4").read_bytes() == b"left over"
    assert (tmp_path / "x-2.mp4").stat().st_size > 1000


def test_what_is_no_keyframe_opens_no_output():
    with pytest.raises(OutputError):
        Template(b"\0\0\0\x01\x41nothing", 25.0)


@pytest.mark.parametrize(
    ("device", "wanted", "url", "transport", "decodes"),
    [
        ("cuda", "auto", "rtsp://a/1", "tcp", "nvdec"),
        ("cuda", "auto", "rtsp://a/1", "udp", "cpu"),
        ("cuda", "auto", "udp://0.0.0.0:5000", "tcp", "cpu"),
        ("cuda", "auto", "srt://a:1", "tcp", "cpu"),
        ("cuda", "auto", "rtsps://a/1", "udp", "nvdec"),
        ("cuda", "nvdec", "rtsp://a/1", "udp", "nvdec"),
        ("cuda", "dali", "rtsp://a/1", "tcp", "dali"),
        ("cuda", "cpu", "rtsp://a/1", "tcp", "cpu"),
        ("cpu", "auto", "rtsp://a/1", "tcp", "cpu"),
        ("auto", "nvdec", "rtsp://a/1", "tcp", "cpu"),
    ],
)
def test_who_decodes_a_camera(device, wanted, url, transport, decodes):
    """What loses packets is decoded where damage is told, unless somebody says otherwise."""
    assert decoder_of(device, wanted, url, transport) == decodes


def test_packets_lie_in_their_memory_until_they_are_taken():
    """Against a list, over random sizes: never two in one place, never one that is not whole."""
    rng = np.random.default_rng(3)
    ring, waiting, refused = PacketRing.create(), [], 0
    for _ in range(3000):
        if waiting and rng.random() < 0.5:
            place, data = waiting.pop(0)
            assert ring.read(place, len(data)) == data
            assert ring.done()
            continue
        size = int(rng.choice([40, 5000, 900_000, 6_000_000]))
        data = bytes([int(rng.integers(256))]) * size
        place = ring.put(data)
        if place is None:
            refused += 1
            assert waiting
        else:
            waiting.append((place, data))
    assert refused > 20
    assert len(ring) == len(waiting)
    for place, data in waiting:
        assert ring.read(place, len(data)) == data
    for place, size in ((-1, 4), (PACKET_BYTES - 3, 4), (0, 0), (0, PACKET_BYTES + 1)):
        with pytest.raises(WireError, match="beyond its memory"):
            ring.read(place, size)
    assert ring.put(bytes(PACKET_BYTES + 1)) is None
    ring.close()
    ring.close()


def test_memory_of_packets_that_is_none():
    descriptor = os.memfd_create("x")
    with pytest.raises(WireError, match="another size"):
        PacketRing(descriptor)
    descriptor = os.memfd_create("x")
    os.ftruncate(descriptor, PACKET_BYTES)
    with pytest.raises(WireError, match="not sealed"):
        PacketRing(descriptor)
