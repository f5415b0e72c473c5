"""The configuration tree, its file, and the presets."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_anon import recipes, units, yamlfile
from stream_anon.cli.commands.redact import redact
from stream_anon.config import (
    OPTIONS,
    Config,
    document,
    load,
    options_to_config,
    override,
    parse,
    unusual,
)
from stream_anon.errors import ConfigError, UsageError


def test_the_commented_file_is_the_defaults(root: Path):
    written = (root / "configs/redact.yaml").read_text()
    assert written == document(Config()), "run: stream-anon config > configs/redact.yaml"
    assert load(root / "configs/redact.yaml") == Config()


def test_every_option_has_a_comment():
    lines = document(Config()).splitlines()
    for before, line in itertools.pairwise(lines):
        if line and not line.lstrip().startswith("#"):
            assert before.lstrip().startswith("#"), line


@pytest.mark.parametrize("name", recipes.presets())
def test_presets_are_valid_and_say_what_for(name):
    assert isinstance(load(recipes.preset(name)), Config)
    assert recipes.preset(name).read_text().startswith("# ")


def test_document_reads_back():
    changed = override(Config(), **{"method.colour": (1, 2, 3), "models_dir": "/x", "video.crf": 3})
    assert parse(yamlfile.read(document(changed))) == changed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("detctor: {}", "unknown option 'detctor', did you mean 'detector'?"),
        ("detector: {treshold: 1}", "'detector.treshold', did you mean 'threshold'?"),
        ("zzz: 1", "unknown option 'zzz'"),
        ("video: {crf: 99}", "option 'video.crf': input should be less than or equal to 63"),
        ("video: {crf: .nan}", "option 'video.crf'"),
        ("tracker: {interval: 0}", "option 'tracker.interval'"),
        # What finds no faces, or is no number, does not become a run that covers nothing.
        ("detector: {threshold: true}", "'detector.threshold': input should be a valid number"),
        ("detector: {threshold: '0.2'}", "'detector.threshold': input should be a valid number"),
        ("detector: {threshold: 1.0}", "'detector.threshold': input should be less than or equal"),
        ("detector: {threshold: 0.51}", "'detector.threshold': input should be less than or equal"),
        ("detector: {keep_threshold: 0.3}", "'keep_threshold' (0.3) must not be above 'threshold'"),
        ("detector: {smallest_face: 4}", "'detector.smallest_face': input should be greater than"),
        ("detector: {smallest_face: 500}", "'detector.smallest_face': input should be less than"),
        ("detector: {threads: 1.5}", "'detector.threads': input should be a valid integer"),
        ("tracker: {interval: 100000}", "'tracker.interval': input should be less than or equal"),
        ("tracker: {interval: 2m}", "'tracker.interval': input should be less than or equal"),
        ("tracker: {interval: true}", "'tracker.interval': input should be a valid number"),
        ("tracker: {interval: soon}", "'soon' is no span of time; write 250ms"),
        ("tracker: {margin: '1'}", "'tracker.margin': input should be a valid number"),
        ("method: {cells: true}", "'method.cells': input should be a valid integer"),
        ("method: {epsilon: true}", "'method.epsilon': input should be a valid number"),
        ("method: {epsilon: .inf}", "'method.epsilon': input should be a finite number"),
        ("method: {colour: [1, 2, true]}", "'method.colour.2': input should be a valid integer"),
        ("video: {crf: true}", "'video.crf': input should be a valid number"),
        ("video: {end: .inf}", "'video.end': input should be a finite number"),
        ("video: {start: 1:75}", "option 'video.start': '1:75' is no time"),
        ("video: {keep_metadata: 'no'}", "'video.keep_metadata': input should be a valid boolean"),
        ("draw_boxes: 1", "'draw_boxes': input should be a valid boolean"),
        ("fault: {stall_seconds: .inf}", "'fault.stall_seconds': input should be a finite number"),
        ("detector: {threshold: 0.1, threshold: 0.4}", "'threshold' stands twice"),
        ("[" * 5000, "is nested deeper than"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "aliases (*name) are not read"),
        ("a: 2001-99-99", "is not YAML (month"),
        (f"video: {{crf: {'9' * 5000}}}", "is not YAML (Exceeds the limit"),
        ("#" * (1 << 20) + "#", "is longer than"),
        ("? [a]\n: 1", "is not YAML (unhashable"),
        ("0", "must be a mapping"),
        ("video: {start: 5, end: 5}", "'end' (5) must be after 'start' (5)"),
        ("method: {name: blur, epsilon: 1}", "'epsilon' belongs to the methods identity"),
        ("method: {colour: [0, 0, 256]}", "option 'method.colour.2'"),
        ("- 1", "must be a mapping"),
        ("a: [", "is not YAML"),
        ("!!python/object/apply:os.system [ls]", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, words):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("0.28", 0.28), ("280ms", 0.28), ("1s", 1.0), ("1", 1.0), (".5 s", 0.5)],
)
def test_spans_take_units(tmp_path, text, seconds):
    (tmp_path / "x.yaml").write_text(f"tracker: {{interval: {text}}}")
    assert load(tmp_path / "x.yaml").tracker.interval == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12.5", 12.5), ("90s", 90.0), ("2m", 120.0), ("1:20", 80.0), ("1:02:03.5", 3723.5)],
)
def test_moments_take_units_and_clocks(tmp_path, text, seconds):
    (tmp_path / "x.yaml").write_text(f"video: {{start: {text}}}")
    assert load(tmp_path / "x.yaml").video.start == seconds


@given(st.floats(0, 1e7, exclude_min=True))
def test_what_is_written_reads_back(seconds):
    read = yamlfile.read(units.written(seconds))
    assert (units.span(read) if isinstance(read, str) else read) == seconds


def test_spans_are_written_with_units():
    assert [units.written(s) for s in (0.28, 0.6, 1.4, 60.0, 90.0, 7200.0, 1.0)] == [
        "280ms", "600ms", "1.4s", "1m", "90s", "2h", "1s"
    ]  # fmt: skip
    text = document(override(Config(), **{"video.start": 80.0, "tracker.max_age": 0.25}))
    assert "  start: 80s\n" in text
    assert "  max_age: 250ms\n" in text


@given(st.text(max_size=60))
def test_no_text_raises_anything_else(text):
    for reader in (units.span, units.moment):
        with contextlib.suppress(ValueError):
            assert reader(text) >= 0


def test_what_is_unusual_is_named():
    assert unusual(Config()) == []
    assert unusual(override(Config(), **{"method.cells": 4, "video.crf": 20})) == []
    changed = override(Config(), **{"detector.threshold": 0.5, "tracker.interval": "1s"})
    assert unusual(changed) == ["detector.threshold 0.5", "tracker.interval 1.0"]


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "x.yaml", tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load(path)


def test_an_empty_file_is_the_defaults(tmp_path):
    (tmp_path / "x.yaml").write_text("")
    assert load(tmp_path / "x.yaml") == Config()


def test_options_by_short_name():
    assert options_to_config(Config(), {"method": "fill", "crf": 20}).video.crf == 20
    assert options_to_config(Config(), {"crf": None}) == Config()
    with pytest.raises(ConfigError, match="did you mean 'method'"):
        options_to_config(Config(), {"metod": "fill"})
    with pytest.raises(ConfigError, match="unknown option 'tracker.nonesuch'"):
        override(Config(), **{"tracker.nonesuch": 1})


def test_short_names_are_those_of_the_command_line():
    assert set(OPTIONS) <= {parameter.name for parameter in redact.params}


class TestRecipes:
    def test_an_own_pipeline(self, tmp_path):
        (tmp_path / "mine.py").write_text("def build(request):\n    return 7\n")
        module = recipes.pipeline(tmp_path / "mine.py")
        assert isinstance(module, ModuleType)
        assert module.build(None) == 7

    @pytest.mark.parametrize("text", ["def (", "import nonesuch_module"])
    def test_a_broken_pipeline(self, tmp_path, text):
        (tmp_path / "mine.py").write_text(text)
        with pytest.raises(UsageError, match="cannot be imported"):
            recipes.pipeline(tmp_path / "mine.py")

    @pytest.mark.parametrize("name", ["nonesuch", "../conftest", "nonesuch.py", ""])
    def test_no_such_pipeline(self, name):
        with pytest.raises(UsageError, match="there is no"):
            recipes.pipeline(name)

    def test_every_pipeline_imports_and_builds(self):
        assert recipes.pipelines()
        for name in recipes.pipelines():
            assert callable(recipes.pipeline(name).build)
