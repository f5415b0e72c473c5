"""A plug-in that is broken ends the run before it begins, with one line that names it."""

from __future__ import annotations

import re

import pytest

from stream_anon import plugins
from stream_anon.cli import run
from stream_anon.config import Config, override, parse
from stream_anon.detection.registry import make_detector
from stream_anon.errors import ConfigError, ModelError
from stream_anon.methods import METHODS, known_methods, make_method
from stream_anon.pipeline.labels import Sources
from stream_anon.pipeline.painting.targets import make_targets
from stream_anon.sections import DETECTOR_NAMES, METHOD_NAMES
from tests.attacks.scene import write_clip
from tests.extending.test_pages import register

GOOD = """
import numpy as np
from stream_anon.methods.base import Method, Rendered
from stream_anon.sections import MethodSection, Whole
class Section(MethodSection):
    name: str = "odd"
    length: Whole = 3
class Odd(Method):
    Options = Section
    name = "odd"
    crop_size = 16
    def __init__(self, options):
        self.options = options
    def render(self, crops, subjects):
        return Rendered(np.zeros_like(crops))
"""


@pytest.fixture
def plug_in(tmp_path, monkeypatch):
    """Installs ``text`` as a module and registers its attribute."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(text, kind="method", value="Odd", name="odd", package="odd-package"):
        module = f"odd_{abs(hash((text, package))):x}"
        (site / f"{module}.py").write_text(text)
        points = {plugins.GROUPS[kind]: {name: f"{module}:{value}"}}
        register(site, package, {"entry-points": points})

    return install


def test_the_lists_of_names_agree():
    assert METHOD_NAMES == METHODS
    with pytest.raises(ConfigError, match=" or ".join(f"'{name}'" for name in DETECTOR_NAMES)):
        parse({"detector": {"name": "none of them"}})


def test_a_good_one_is_found_listed_and_owns_its_options(plug_in):
    plug_in(GOOD)
    assert known_methods() == (*METHODS, "odd")
    config = parse({"method": {"name": "odd", "length": 5}})
    assert config.method.length == 5
    assert make_method(config.method).options.length == 5
    # By its name alone, as from --method: of another method's options none is carried over.
    named = override(Config(), **{"method.name": "odd"})
    assert named.method.model_dump() == {"name": "odd", "length": 3}
    assert override(named, **{"method.name": "fill"}).method.model_dump()["cells"] == 8


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lenght": 5}, "unknown option 'method.lenght', did you mean 'length'?"),
        ({"length": "5"}, "option 'method.length': input should be a valid integer, is '5'"),
        ({"length": True}, "option 'method.length'"),
        ({"cells": 4}, "unknown option 'method.cells'"),
    ],
)
def test_its_section_is_as_strict_as_the_rest(plug_in, options, words):
    plug_in(GOOD)
    with pytest.raises(ConfigError) as caught:
        parse({"method": {"name": "odd", **options}}, origin="mine.yaml")
    assert words in str(caught.value)
    assert str(caught.value).startswith("mine.yaml: ")
    assert "\n" not in str(caught.value)


BROKEN = {
    "cannot be imported": ("import no_such_module_at_all", "ModuleNotFoundError"),
    "no Python": ("def (", "SyntaxError"),
    "raises": ("raise RuntimeError('first line\\nsecond line')", "first line second line"),
    "leaves": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "has no such name": ("Even = 1", "AttributeError"),
    "is no class": ("Odd = 7", "is no "),
    "is no method": (
        "from stream_anon.sections import MethodSection\nclass Odd:\n    Options = MethodSection",
        "is no stream_anon.methods.base.Method",
    ),
    "owns no section": (GOOD.replace("    Options = Section\n", ""), "has no 'Options'"),
    "owns no section of ours": (
        GOOD.replace("Options = Section\n", "Options = dict\n"), "has no 'Options'",
    ),
    "cannot be made": (
        GOOD.replace("self.options = options", "raise OSError('no such\\nfile')"),
        "could not be made: OSError: no such file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_one_line_that_names_it(plug_in, name):
    text, words = BROKEN[name]
    plug_in(text)
    with pytest.raises(ConfigError) as caught:
        make_targets(override(Config(), **{"method.name": "odd"}))
    assert words in str(caught.value)
    assert "method 'odd'" in str(caught.value)
    assert "\n" not in str(caught.value)
    # Whoever does not name it does not meet it.
    assert make_method(parse({"method": {"name": "fill"}}).method).name == "fill"


def test_two_packages_of_one_name_are_both_named(plug_in):
    plug_in(GOOD)
    plug_in(GOOD, package="other-package")
    with pytest.raises(ConfigError, match="registered twice, by odd-package .* other-package"):
        parse({"method": {"name": "odd"}})


@pytest.mark.parametrize(("kind", "name"), [("method", "fill"), ("detector", "centerface")])
def test_what_comes_with_the_package_is_not_replaced(plug_in, kind, name):
    plug_in("raise RuntimeError('must not be imported')", kind=kind, name=name)
    assert getattr(parse({kind: {"name": name}}), kind).name == name
    assert known_methods() == METHODS
    if kind == "method":
        assert type(make_method(parse({kind: {"name": name}}).method)).__module__.startswith(
            "stream_anon."
        )


def test_a_broken_detector_and_a_broken_target_are_named_too(plug_in):
    plug_in("import no_such_module_at_all", kind="detector")
    with pytest.raises(ConfigError, match="detector 'odd' of odd-package"):
        parse({"detector": {"name": "odd"}})
    plug_in("class Odd:\n    pass", kind="target", name="sign", package="signs")
    config = parse({"targets": {"face": None, "sign": None}})
    with pytest.raises(ConfigError, match="target 'sign' of a plug-in has no shape"):
        make_targets(config)
    with pytest.raises(ConfigError, match="the detector of target 'sign' could not be made"):
        Sources.of(config)


def test_a_detector_that_answers_for_another_contract_is_refused(plug_in):
    text = (
        "from stream_anon.sections import DetectorSection\n"
        "class Odd:\n    class Options(DetectorSection):\n        name: str = 'odd'\n"
    )
    plug_in(text, kind="detector")
    with pytest.raises((ConfigError, ModelError), match="is no stream_anon.detection.base"):
        make_detector(parse({"detector": {"name": "odd"}}).detector)


def test_the_command_line_says_it_in_one_line_and_writes_nothing(plug_in, tmp_path, capfd):
    plug_in(BROKEN["cannot be made"][0])
    folder = tmp_path / "work"
    folder.mkdir()
    clip = write_clip(folder / "scene.mp4", frames=4)
    for words in (["--method", "odd"], ["--target", "face=odd"], ["--method", "ood"]):
        assert run(["redact", str(clip), "-o", str(folder / "out.mp4"), "-q", *words]) in (1, 2)
        said = capfd.readouterr().err.strip()
        assert said.count("\n") == 0, said
        assert "method 'o" in said
        assert [path.name for path in folder.iterdir()] == ["scene.mp4"]
    assert "did you mean 'odd'" in said


def test_doctor_names_what_other_packages_bring_and_what_of_it_is_broken(plug_in, capfd):
    plug_in("class Odd:\n    pass", kind="target", name="sign", package="signs")
    plug_in("import no_such_module_at_all", kind="detector")
    run(["doctor"])
    said = capfd.readouterr().out
    assert re.search(r"^  targets +sign$", said, re.MULTILINE)
    assert re.search(r"^  detectors +detector 'odd' of odd-package .*cannot be loaded", said, re.M)
    assert re.search(r"^  methods +none$", said, re.MULTILINE)
