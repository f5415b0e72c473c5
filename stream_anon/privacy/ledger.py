"""The ledger: what was released about whom, for the run's manifest. Never a code, never a key."""

from __future__ import annotations

import bisect
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, cast

from stream_anon.errors import InputError
from stream_anon.privacy.composition import ComposedRow, composition_table
from stream_anon.privacy.contract import MechanismRecord

LEDGER_VERSION = 1

MOST_TRACKS = 20_000
"""Tracks with a line of their own. Of a run that takes months, those that ended first are folded
into one line for each mechanism."""

MOST_RANGES = 1000

LIMITS = (
    "Per track, the identity code given to the generator is a draw from an epsilon-local-DP "
    "mechanism with respect to replacing that person's embedding by any other unit vector. "
    "This is not a guarantee about the output video. Attributes fed to the generator (pose, "
    "expression, coarse colour and shape), hair, body, clothing, gait, voice, place, time, "
    "detector misses and cross-track linkage are outside it. Epsilon above about 10 is a "
    "resemblance knob, not strong privacy. Embedding networks differ: privacy against a "
    "recogniser other than the one randomised is empirical. The visual-mixer method has no "
    "formal guarantee."
)
"""What may be said about the numbers, and what not."""

NO_GUARANTEE = (
    "At least one mechanism of this run gives no differential-privacy guarantee: its epsilon is "
    "nominal, and none is claimed."
)
UNSAFE_SEED = (
    "unsafe_seed was set: whoever knows it can undo the noise. No guarantee holds for this run."
)


class TrackRecord(TypedDict):
    """One track of the ledger; times in seconds of the video, None where not known."""

    track: int
    mechanism: str
    dimension: int
    sensitivity: float
    norm: str
    epsilon: float | None
    delta: float
    first: float | None
    last: float | None


class FoldedRecord(TypedDict):
    """Tracks of one mechanism that ended long ago, together."""

    mechanism: str
    dimension: int
    epsilon: float | None
    delta: float
    tracks: int
    first: float | None
    last: float | None


class Composition(TypedDict):
    """Cost of k tracks of one person through one mechanism."""

    mechanism: str
    rows: list[ComposedRow]


class PrivacyReport(TypedDict):
    """What stands under ``"privacy"`` in the manifest of a run."""

    ledger_version: int
    unsafe_seed: bool
    mechanisms: list[MechanismRecord]
    tracks: list[TrackRecord]
    folded: list[FoldedRecord]
    composition: list[Composition]
    limits: list[str]


@dataclass(slots=True)
class _Entry:
    mechanism: int
    first: float | None = None
    last: float | None = None

    def show(self, time: float | None) -> None:
        """It was shown at ``time`` seconds."""
        if time is not None:
            self.first = time if self.first is None else min(self.first, time)
            self.last = time if self.last is None else max(self.last, time)


class _Numbers:
    """Track numbers as ranges; where these are too many, what lies between two belongs to it."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __contains__(self, number: int) -> bool:
        at = bisect.bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]

    def add(self, number: int) -> None:
        """Put a number in."""
        if number in self:
            return
        at = bisect.bisect_right(self._starts, number)
        self._starts.insert(at, number)
        self._ends.insert(at, number)
        if at + 1 < len(self._starts) and self._starts[at + 1] == number + 1:
            self._join(at)
        if at > 0 and self._ends[at - 1] == number - 1:
            self._join(at - 1)
        if len(self._starts) > MOST_RANGES:
            self._join(0)

    def _join(self, at: int) -> None:
        del self._starts[at + 1], self._ends[at]


class Ledger:
    """Grows by a few numbers per track, up to ``MOST_TRACKS``; safe to share between threads."""

    def __init__(self, most: int = MOST_TRACKS) -> None:
        self._most = most
        self._mechanisms: list[MechanismRecord] = []
        self._entries: dict[int, _Entry] = {}
        self._ended: dict[int, None] = {}
        self._folded: dict[int, tuple[int, _Entry]] = {}
        self._past = _Numbers()
        self._unsafe = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries) + sum(count for count, _ in self._folded.values())

    def has(self, track: int) -> bool:
        """Whether a release was made for ``track``; never no where there was one."""
        return track in self._entries or track in self._past

    def add(self, track: int, record: MechanismRecord, *, unsafe: bool = False) -> None:
        """Note the one release of ``track``."""
        with self._lock:
            if self.has(track):
                raise ValueError(f"track {track} stands in the ledger already")
            if record not in self._mechanisms:
                self._mechanisms.append(record)
            self._entries[track] = _Entry(self._mechanisms.index(record))
            self._unsafe |= unsafe
            if len(self._entries) > self._most and self._ended:
                self._fold(next(iter(self._ended)))

    def end(self, track: int) -> None:
        """No later frame shows ``track``."""
        with self._lock:
            if track in self._entries:
                self._ended[track] = None

    def _fold(self, track: int) -> None:
        del self._ended[track]
        self._past.add(track)
        entry = self._entries.pop(track)
        count, sum_ = self._folded.get(entry.mechanism, (0, _Entry(entry.mechanism)))
        sum_.show(entry.first)
        sum_.show(entry.last)
        self._folded[entry.mechanism] = count + 1, sum_

    def seen(self, track: int, time: float | None) -> None:
        """The release of ``track`` was shown at ``time`` seconds."""
        if time is None:
            return
        with self._lock:
            self._entries[track].show(time)

    def to_json(self) -> PrivacyReport:
        """What the manifest holds under ``"privacy"``."""
        with self._lock:
            entries = list(self._entries.items())
            mechanisms = list(self._mechanisms)
            folded = list(self._folded.values())
        limits = [LIMITS]
        if any(record["kind"] == "none" for record in mechanisms):
            limits.insert(0, NO_GUARANTEE)
        if self._unsafe:
            limits.insert(0, UNSAFE_SEED)
        return PrivacyReport(
            ledger_version=LEDGER_VERSION,
            unsafe_seed=self._unsafe,
            mechanisms=mechanisms,
            tracks=[_line(track, entry, mechanisms[entry.mechanism]) for track, entry in entries],
            folded=[_sum(count, entry, mechanisms[entry.mechanism]) for count, entry in folded],
            composition=[
                Composition(
                    mechanism=record["name"],
                    rows=[row.to_json() for row in composition_table(record)],
                )
                for record in mechanisms
            ],
            limits=limits,
        )


def _line(track: int, entry: _Entry, record: MechanismRecord) -> TrackRecord:
    return TrackRecord(
        track=track,
        mechanism=record["name"],
        dimension=record["dimension"],
        sensitivity=record["sensitivity"],
        norm=record["norm"],
        epsilon=record["epsilon"],
        delta=record["delta"],
        first=entry.first,
        last=entry.last,
    )


def _sum(count: int, entry: _Entry, record: MechanismRecord) -> FoldedRecord:
    return FoldedRecord(
        mechanism=record["name"],
        dimension=record["dimension"],
        epsilon=record["epsilon"],
        delta=record["delta"],
        tracks=count,
        first=entry.first,
        last=entry.last,
    )


def read_report(manifest: Mapping[str, Any]) -> PrivacyReport | None:
    """The ledger of a manifest that was read as JSON; None where nothing was randomised.

    Raises:
        InputError: it is there and has not the shape of a ledger.
    """
    part = manifest.get("privacy")
    if not part:
        return None
    # Ledgers of before there was a bound have none.
    keys = PrivacyReport.__required_keys__ - {"folded"}
    if not isinstance(part, Mapping) or not keys <= part.keys():
        raise InputError(f"the manifest's ledger lacks: {', '.join(_lacking(part, keys))}")
    if part["ledger_version"] != LEDGER_VERSION:
        raise InputError(f"the ledger has version {part['ledger_version']}, not {LEDGER_VERSION}")
    for name, shape in (("mechanisms", MechanismRecord), ("tracks", TrackRecord)):
        rows = part[name]
        if not isinstance(rows, list):
            raise InputError(f"the ledger's {name} are no list")
        for row in rows:
            missing = _lacking(row, frozenset(shape.__annotations__))
            if missing:
                raise InputError(f"an entry of the ledger's {name} lacks: {', '.join(missing)}")
    made = cast(PrivacyReport, json.loads(json.dumps(part)))
    rows = made.setdefault("folded", [])
    if not isinstance(rows, list) or any(_lacking(row, _FOLDED_KEYS) for row in rows):
        raise InputError("the ledger's folded tracks are not as they should be")
    return made


_FOLDED_KEYS = frozenset(FoldedRecord.__annotations__)


def _lacking(row: object, keys: frozenset[str]) -> list[str]:
    present = row.keys() if isinstance(row, Mapping) else frozenset()
    return sorted(keys - present)
