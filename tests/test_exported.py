"""Every public name is exported on purpose, and can be imported."""

from __future__ import annotations

import stream_anon


def test_what_is_exported_is_what_has_a_home():
    assert set(stream_anon.__all__) == set(stream_anon._HOME) | {"__version__"}
    assert stream_anon.__all__ == sorted(stream_anon.__all__)


def test_every_name_can_be_used():
    for name in stream_anon.__all__:
        assert getattr(stream_anon, name) is not None
    assert dir(stream_anon) == stream_anon.__all__


def test_every_exported_class_and_function_says_what_it_is():
    for name in set(stream_anon.__all__) - {"__version__"}:
        assert (getattr(stream_anon, name).__doc__ or "").strip(), name
