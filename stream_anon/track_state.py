"""Everything that is kept for a track, in one object that is dropped as a whole.

The compositor owns one ``TrackState`` for each track that is alive. Whoever must remember something
from frame to frame (a filter, a method) declares a ``Part`` and keeps nothing himself:

    self._last: Part[Last] = Part()
    ...
    last = self._last.get(subject.state)
    self._last.put(subject.state, Last(...))

When the track ends its state is closed: every part is wiped and let go of, nobody is told, and
nobody can forget to forget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class TrackState:
    """What is kept for one track; its parts are reached through ``Part`` alone.

    Attributes:
        track: number of the track, unique within a run.
        closed: the track has ended; nothing can be kept for it any more.
    """

    __slots__ = ("__weakref__", "_parts", "closed", "track")

    def __init__(self, track: int) -> None:
        self.track = track
        self.closed = False
        self._parts: dict[Part[Any], Any] = {}

    def __repr__(self) -> str:
        # Parts may be codes and crops: no log shows them.
        return f"TrackState({self.track}, {len(self._parts)} parts)"

    def __len__(self) -> int:
        """Parts that are kept now."""
        return len(self._parts)

    def close(self) -> None:
        """The track has ended: wipe and drop all parts; safe to call twice.

        Raises:
            Exception: what the first failing ``wipe`` raised, when all parts have been dropped.
        """
        self.closed = True
        parts, self._parts = self._parts, {}
        failed: Exception | None = None
        for part, value in parts.items():
            try:
                part.wipe(value)
            except Exception as error:  # noqa: BLE001 - raised below, when all have been wiped
                failed = failed or error
        if failed is not None:
            raise failed

    def __reduce__(self) -> Any:
        raise TypeError("a track's state holds what must not leave the process: it is not pickled")


class Part(Generic[T]):
    """One kind of thing that one owner keeps for each track. Holds nothing itself.

    Two owners of the same class have two parts: what one method drew is not the other's.

    Args:
        wipe: what is done to a value that is dropped with its track or by ``drop``; for keys.
    """

    __slots__ = ("_wipe",)

    def __init__(self, wipe: Callable[[T], None] | None = None) -> None:
        self._wipe = wipe

    def get(self, state: TrackState) -> T | None:
        """What is kept for a track, or None."""
        return state._parts.get(self)

    def put(self, state: TrackState, value: T) -> T:
        """Keep a value for a track, in the place of the one before; returns it.

        Raises:
            ValueError: the track has ended.
        """
        if state.closed:
            raise ValueError(f"track {state.track} has ended: nothing is kept for it")
        state._parts[self] = value
        return value

    def of(self, state: TrackState, make: Callable[[], T]) -> T:
        """What is kept for a track; made and kept where there is nothing yet."""
        value = self.get(state)
        return self.put(state, make()) if value is None else value

    def drop(self, state: TrackState) -> None:
        """Keep nothing any more."""
        value = state._parts.pop(self, None)
        if value is not None:
            self.wipe(value)

    def wipe(self, value: T) -> None:
        """Overwrite what must not outlive its track."""
        if self._wipe is not None:
            self._wipe(value)


class TrackStates:
    """The states of a run's tracks: as many as are alive."""

    def __init__(self) -> None:
        self._alive: dict[int, TrackState] = {}

    def __len__(self) -> int:
        return len(self._alive)

    def __contains__(self, track: int) -> bool:
        return track in self._alive

    def of(self, track: int) -> TrackState:
        """The state of a track; a new one at its first frame."""
        state = self._alive.get(track)
        if state is None:
            state = self._alive[track] = TrackState(track)
        return state

    def end(self, track: int) -> None:
        """The track has ended: its state is dropped; a track that was never seen has none.

        Raises:
            Exception: as from ``TrackState.close``.
        """
        state = self._alive.pop(track, None)
        if state is not None:
            state.close()

    def clear(self) -> None:
        """The run has ended: every state is dropped.

        Raises:
            Exception: what the first failing one raised, when all have been dropped.
        """
        failed: Exception | None = None
        for track in list(self._alive):
            try:
                self.end(track)
            except Exception as error:  # noqa: BLE001 - raised below
                failed = failed or error
        if failed is not None:
            raise failed
