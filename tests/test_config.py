"""The configuration tree, its file, and the presets."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from stream_anon import recipes
from stream_anon.cli.redact import redact
from stream_anon.config import OPTIONS, Config, document, load, options_to_config, override, parse
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
    assert parse(yaml.safe_load(document(changed))) == changed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("detctor: {}", "unknown option 'detctor', did you mean 'detector'?"),
        ("detector: {treshold: 1}", "'detector.treshold', did you mean 'threshold'?"),
        ("zzz: 1", "unknown option 'zzz'"),
        ("video: {crf: 99}", "option 'video.crf': input should be less than or equal to 63"),
        ("video: {crf: .nan}", "option 'video.crf'"),
        ("tracker: {interval: 0}", "option 'tracker.interval'"),
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
