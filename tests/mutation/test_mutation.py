"""Every break of the table turns a test red; the table keeps up with the program."""

from __future__ import annotations

import pytest

from tests.mutation.runner import ROOT, Break, Copy, StaleBreak, broken
from tests.mutation.table import BREAKS

NAMES = [made.name for made in BREAKS]


@pytest.mark.parametrize("made", BREAKS, ids=NAMES)
def test_its_line_is_there_once(made: Break):
    assert broken(made)
    for name in made.tests:
        path, _, inner = name.partition("::")
        assert (ROOT / path).exists(), f"{made.name}: there is no {path}"
        if inner:
            function = inner.split("[")[0].split("::")[-1]
            assert f"def {function}(" in (ROOT / path).read_text(), f"{made.name}: no {name}"


def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


def test_a_break_that_does_not_fit_is_told():
    for old, words in (("no such line", "stands 0 times"), ("import", "times in")):
        with pytest.raises(StaleBreak, match=words):
            broken(Break("x", "stream_anon/units.py", old, "y", (), ""))
    with pytest.raises(StaleBreak, match="there is no"):
        broken(Break("x", "stream_anon/absent.py", "a", "b", (), ""))
    with pytest.raises(StaleBreak, match="no Python"):
        broken(Break("x", "stream_anon/units.py", "import re\n", "import\n", (), ""))
    with pytest.raises(StaleBreak, match="changes nothing"):
        broken(Break("x", "stream_anon/units.py", "import re\n", "import re\n", (), ""))


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Copy:
    made = Copy(tmp_path_factory.mktemp("mutants"))
    red = made.whole(BREAKS)
    assert red is None, f"red before anything is broken:\n{red}"
    return made


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_runner_tells_a_survivor_from_a_kill(copy: Copy):
    for tests in ("tests/test_config.py", "tests/absent.py"):
        line = "import re\n"
        harmless = Break("x", "stream_anon/units.py", line, f"{line}\n", (tests,), "")
        assert not copy.judge(harmless).killed


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("made", BREAKS, ids=NAMES)
def test_it_turns_a_test_red(copy: Copy, made: Break):
    verdict = copy.judge(made)
    assert verdict.killed, f"{made.name} stays green ({verdict.by}): {made.why}"
