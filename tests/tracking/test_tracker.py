"""The tracker: every frame once and in order, every true face painted, nothing across a cut."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_anon.config import TrackerConfig
from stream_anon.detection.types import Face
from stream_anon.errors import TrackerFault
from stream_anon.tracking.tracker import Tracker
from tests.tracking.scenes import HEIGHT, WIDTH, Person, even, landmarks, painted, run


def check_order(result) -> None:
    assert [d.index for d in result.decided] == list(range(len(result.times)))
    over: set[int] = set()
    for decided in result.decided:
        track_ids = [face.track for face in decided.faces]
        assert track_ids == sorted(set(track_ids))
        assert not over & set(track_ids), "a track came back after its end"
        over |= set(decided.ended)
        for face in decided.faces:
            assert np.isfinite(face.transform).all()
            assert np.isfinite(face.box).all()
            assert abs(np.linalg.det(face.transform[:, :2])) > 0
    assert {f.track for d in result.decided for f in d.faces} <= over


def open_frames(result, people, share: float = 0.9) -> list[tuple[int, int]]:
    return [
        (decided.index, k)
        for decided in result.decided
        for k, person in enumerate(people)
        if (box := person.box(result.times[decided.index])) is not None
        and not painted(decided, box, share)
    ]


def tracks_of(result, person, share: float = 0.9) -> list[set[int]]:
    """For each frame the numbers of tracks whose box has the person's centre."""
    found = []
    for decided in result.decided:
        box = person.box(result.times[decided.index])
        if box is not None:
            centre = (box[:2] + box[2:]) / 2
            found.append(
                {
                    f.track
                    for f in decided.faces
                    if np.linalg.norm((f.box[:2] + f.box[2:]) / 2 - centre) < 0.3 * person.size
                }
            )
    return found


def test_someone_who_walks() -> None:
    people = [Person(lambda t: (100 + 150 * t, 180 + 20 * np.sin(3 * t)))]
    result = run(people, even(3.0))
    check_order(result)
    assert open_frames(result, people) == []
    assert {f.track for d in result.decided for f in d.faces} == {1}
    assert len(result.whole) <= 0.1 * len(result.times)


@settings(max_examples=20, deadline=None)
@given(
    speed=st.floats(-220, 220),
    swing=st.floats(0, 30),
    size=st.floats(24, 110),
    jitter=st.floats(0, 0.03),
    rate=st.sampled_from([10.0, 25.0, 29.97, 60.0]),
    misses=st.sets(st.integers(0, 12), max_size=4),
)
def test_smooth_motion_is_covered_whatever_the_detector_misses(
    speed: float, swing: float, size: float, jitter: float, rate: float, misses: set[int]
) -> None:
    people = [Person(lambda t: (320 + speed * (t - 1), 180 + swing * np.sin(4 * t)), size)]
    # Up to the bridge: never more than five looks in a row, and the last ones are kept.
    step = max(1, round(0.2 * rate))
    gone = {look for look in misses if look < 8}
    result = run(
        people,
        even(2.4, rate),
        config=TrackerConfig(interval=0.2),
        jitter=jitter,
        hidden=lambda k, index: index // step in gone and index // step % 6 != 5,
    )
    check_order(result)
    # Before the first look that succeeds only the look-back helps.
    first = min(i for i in result.looked if not (i // step in gone and i // step % 6 != 5))
    late = [
        (index, k)
        for index, k in open_frames(result, people, 0.85)
        if result.times[first] - result.times[index] <= 0.6
    ]
    assert late == []


def test_a_long_gap_is_bridged_and_no_longer_one() -> None:
    people = [Person(lambda t: (150 + 60 * t, 180))]
    hide = lambda k, index: 20 <= index < 50  # noqa: E731
    result = run(people, even(4.0), hidden=hide)
    assert open_frames(result, people) == []
    assert {f.track for d in result.decided for f in d.faces} == {1}
    result = run(people, even(5.0), hidden=lambda k, index: 20 <= index < 90)
    assert {f.track for d in result.decided for f in d.faces} == {1, 2}


def test_two_who_cross_keep_their_numbers() -> None:
    people = [
        Person(lambda t: (120 + 160 * t, 170), 60, seed=1),
        Person(lambda t: (520 - 160 * t, 195), 60, seed=2),
    ]
    close = lambda t: abs(400 - 320 * t) < 45  # noqa: E731
    result = run(people, even(2.5), hidden=lambda k, i: k == 0 and close(i / 25), jitter=0.01)
    check_order(result)
    assert open_frames(result, people, 0.8) == []
    track_ids = [tracks_of(result, person) for person in people]
    for found in track_ids:
        assert found[0] & found[-1], "the number changed at the crossing"
    assert not track_ids[0][0] & track_ids[1][0]


def test_someone_behind_a_pillar() -> None:
    people = [
        Person(lambda t: (100 + 120 * t, 180), 60, seed=1),
        Person(lambda t: (250, 180), 90, seed=2),
    ]
    hide = lambda k, i: k == 0 and 0.8 < i / 25 < 1.7  # noqa: E731
    result = run(people, even(3.0), hidden=hide)
    check_order(result)
    track_ids = tracks_of(result, people[0])
    assert track_ids[0] & track_ids[-1]


def test_entering_and_leaving_at_the_border() -> None:
    people = [Person(lambda t: (-60 + 260 * t, 180), 70)]
    result = run(people, even(3.2))
    check_order(result)
    assert open_frames(result, people, 0.8) == []
    last = result.decided[-1]
    assert last.faces == ()


def test_nothing_is_followed_over_a_cut() -> None:
    people = [
        Person(lambda t: (200, 150) if t < 1.0 else None, 80, seed=1),
        Person(lambda t: (210, 160) if t >= 1.0 else None, 80, seed=2),
    ]
    result = run(people, even(2.0), shots=lambda index: int(index >= 25))
    check_order(result)
    assert 25 in result.looked
    before = {f.track for d in result.decided[:25] for f in d.faces}
    after = {f.track for d in result.decided[25:] for f in d.faces}
    assert before == {1}
    assert after == {2}
    assert open_frames(result, people) == []


def test_nobody_is_held_or_looked_back_into_another_shot() -> None:
    people = [Person(lambda t: (300, 180) if 1.0 <= t < 2.0 else None, 80)]
    result = run(people, even(3.0), shots=lambda index: index // 25)
    assert all(bool(d.faces) == (25 <= d.index < 50) for d in result.decided)


def test_look_back_and_hold() -> None:
    people = [Person(lambda t: (300 + 40 * t, 180), 80)]
    result = run(people, even(3.0), hidden=lambda k, index: not 30 <= index < 45)
    check_order(result)
    times = [result.times[d.index] for d in result.decided if d.faces]
    assert times[0] <= 30 / 25 - 0.55
    assert times[-1] >= 40 / 25 + 0.55
    origins = {f.origin for d in result.decided for f in d.faces}
    assert origins == {"look-back", "detected", "interpolated", "held"}


def test_one_faint_look_is_painted_briefly_and_a_strong_one_is_held() -> None:
    box = np.array([300.0, 150, 340, 200])
    # Nothing changes here: the looks are those of an idle scene, one of them in these frames.
    while_idle = range(73, 79)
    briefly = 2 * TrackerConfig().interval + 0.08
    for score, most in ((0.25, briefly), (0.9, 1.4)):
        face = Face(box, landmarks(box), score)
        result = run([], even(4.0), extra=lambda i, f=face: [f] if i in while_idle else [])
        seconds = sum(bool(d.faces) for d in result.decided) / 25
        assert 0.1 < seconds <= most
    tentative = Face(box, landmarks(box), 0.15)
    assert all(not d.faces for d in run([], even(1.0), extra=lambda i: [tentative]).decided)


@settings(max_examples=10, deadline=None)
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.004, 0.033, 0.04, 0.1, 0.4]), min_size=8, max_size=45),
    limit=st.one_of(st.none(), st.integers(1, 20)),
)
def test_any_time_stamps_and_any_limit(gaps: list[float], limit: int | None) -> None:
    times = list(itertools.accumulate(gaps))
    people = [Person(lambda t: (300 + 20 * np.sin(t), 180), 80)]
    result = run(people, times, limit=limit)
    check_order(result)
    assert open_frames(result, people) == []
    assert result.looked[0] == 0
    detections_run = [times[i] for i in result.looked]
    for index, seconds in enumerate(times):
        last = max(t for t, i in zip(detections_run, result.looked, strict=True) if i <= index)
        assert seconds - last <= TrackerConfig().interval + 1e-6
        # Whatever the clock says.
        assert any(index - 9 < i <= index for i in result.looked)
    if limit is not None:
        assert result.most_waiting <= limit


def test_the_wait_is_bounded_by_time() -> None:
    result = run([Person(lambda t: (300, 180))], even(5.0))
    assert result.most_waiting / 25 <= Tracker(TrackerConfig(), 8, 8, 25, iter([])).delay + 0.05


def test_memory_does_not_grow() -> None:
    tracker = Tracker(TrackerConfig(), WIDTH, HEIGHT, 25, itertools.count(1))
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 255, (HEIGHT, WIDTH), np.uint8)
    box = np.array([300.0, 150, 340, 200])
    largest = 0
    for index in range(900):
        stray = rng.uniform(0, 300, 2)
        faces = [Face(box, landmarks(box), 0.9), Face(box - 90 + np.tile(stray, 2), None, 0.3)]
        needs_detection = tracker.needs_detection(index, index / 25, plane)
        tracker.push(index, index / 25, plane, faces if needs_detection else None)
        kept = [*tracker._tracks, *tracker._closed]
        size = (
            len(tracker._seen)
            + len(tracker._waiting)
            + sum(
                len(t.observations) + len(t._predictions) + len(t._ahead) + len(t._shapes)
                for t in kept
            )
        )
        largest = max(largest, size) if index < 300 else largest
        assert index < 300 or size < 1.6 * largest


def test_frames_out_of_order_and_worse_are_faults() -> None:
    plane = np.zeros((36, 64), np.uint8)
    tracker = Tracker(TrackerConfig(), WIDTH, HEIGHT, 25, itertools.count(1))
    tracker.push(0, 0.0, plane)
    with pytest.raises(TrackerFault):
        tracker.push(0, 0.0, plane)
    tracker.push(5, 0.2, plane)
    with pytest.raises(TrackerFault):
        tracker.needs_detection(3, 0.3, plane)
    for seconds, luma in ((0.4, plane[None]), (0.4, plane.astype(float))):
        with pytest.raises(TrackerFault):
            tracker.needs_detection(9, seconds, luma)
    for arguments in ((0, 9, 25.0), (9, 9, 0.0), (9, 9, np.nan)):
        with pytest.raises(ValueError):
            Tracker(TrackerConfig(), *arguments, itertools.count(1))
    with pytest.raises(ValueError):
        tracker.limit(-1)


def test_time_that_jumps_back_stands_still() -> None:
    plane = np.zeros((36, 64), np.uint8)
    tracker = Tracker(TrackerConfig(), WIDTH, HEIGHT, 25, itertools.count(1))
    decided = []
    for index, seconds in enumerate([0.0, 0.5, 0.1, 0.6, 3.0]):
        decided += tracker.push(index, seconds, plane)
    decided += tracker.flush()
    assert [d.index for d in decided] == [0, 1, 2, 3, 4]
    assert tracker.flush() == []
