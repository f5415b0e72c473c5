"""cameras.yaml: every option is there, and what makes no sense is refused in one line."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from stream_anon import yamlfile
from stream_anon.errors import ConfigError
from stream_anon.live import config as live
from stream_anon.live.latency import BUDGETS
from stream_anon.live.single import single
from tests.conftest import ROOT

EXAMPLE = ROOT / "configs" / "cameras.yaml"


def test_the_example_names_every_option_under_a_comment_and_at_its_default():
    loaded = live.load(EXAMPLE)
    text = EXAMPLE.read_text()
    for model in (
        live.LiveConfig, live.CameraConfig, live.OutputConfig, live.EncoderConfig,
        live.OverloadConfig, live.PageConfig, live.LogConfig,
    ):  # fmt: skip
        for name in model.model_fields:
            assert re.search(rf"^ *(- )?{name}:", text, re.MULTILINE), f"{model.__name__}.{name}"
    usual = live.LiveConfig()
    for name in live.LiveConfig.model_fields:
        if name != "cameras":
            assert getattr(loaded, name) == getattr(usual, name), name
    camera = live.CameraConfig(name="x", source="rtsp://x/1")
    for name in ("timeout", "retry", "retry_longest", "latency", "transport", "size", "rate"):
        assert getattr(loaded.cameras[0], name) == getattr(camera, name), name
    data = yamlfile.read(text)
    assert set(data) == set(live.LiveConfig.model_fields)
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[a-z_]+:", line):
            assert lines[number - 1].startswith("#"), f"line {number + 1} has no comment"


def test_every_option_of_a_camera_reaches_its_engine():
    data = {
        "method": {"name": "pixelate", "cells": 6},
        "tracker": {"interval": "200ms", "max_gap": "1s"},
        "cameras": [
            {"name": name, "source": "rtsp://x/1", "latency": name} for name in BUDGETS
        ],
    }
    chosen = live.parse(data)
    for camera in chosen.cameras:
        config = chosen.engine(camera)
        assert config.method.cells == 6
        assert config.tracker.latency == BUDGETS[camera.name].look_back
        assert config.tracker.interval <= config.tracker.latency
        assert config.tracker.max_gap == 1.0
        assert config.fault.policy == "step-down"


def of(**camera):
    return {"cameras": [{"name": "a", "source": "rtsp://x/1", **camera}]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"cameras": [{"name": "a", "sorce": "rtsp://x"}]}, "did you mean 'source'?"),
        (of(outputs=[{"hls": "x", "record": "y"}]), "exactly one of"),
        (of(outputs=[{"urll": "rtsp://x"}]), "did you mean 'url'?"),
        (of(outputs=[{"url": "http://x"}]), "begins with one of"),
        (of(source="ftp://x"), "begins with one of"),
        (of(name="Entrance Hall"), "name"),
        (of(latency="fast"), "latency"),
        (of(timeout=True), "timeout"),
        (of(timeout="8 parsecs"), "no span of time"),
        (of(size="big"), "write 1280x720"),
        (of(size="641x480"), "must be even"),
        (of(method={"name": "nothing"}), "there is no method 'nothing'"),
        ({**of(), "page": {"listen": "0.0.0.0:80"}}, "needs a 'token'"),
        ({**of(), "page": {"listen": "here"}}, "an address and a port"),
        ({**of(), "overload": {"methods": ["identity"]}}, "no method to step down to"),
        ({"cameras": [*of()["cameras"], *of()["cameras"]]}, "two cameras 'a'"),
        ({**of(), "targets": {"dragon": None}}, "dragon"),
        ([], "must be a mapping"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(data, words):
    with pytest.raises(ConfigError, match=re.escape(words)) as error:
        live.parse(data)
    assert "\n" not in str(error.value)


def test_no_value_of_the_file_is_repeated_where_it_might_be_a_password(tmp_path):
    path = tmp_path / "cameras.yaml"
    for text in (
        "cameras: [{name: a, source: 'gopher://u:hunter22@x'}]",
        "cameras: [{name: a, source: 'rtsp://u:hunter22@x', timeout: 'hunter2'}]",
        "cameras: {a: 'rtsp://u:hunter22@x'",
        "hunter22: 'rtsp://u:hunter22@x'\nhunter22: 3",
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as error:
            live.load(path)
        shown = str(error.value)
        assert "hunter22@" not in shown
        cause = error.value.__cause__ or error.value.__context__
        assert cause is None or error.value.__suppress_context__


def test_a_file_without_cameras_is_refused(tmp_path):
    path = tmp_path / "cameras.yaml"
    path.write_text("log: {format: json}\n")
    with pytest.raises(ConfigError, match="names no camera"):
        live.load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        live.load(tmp_path / "nothing.yaml")


def test_one_camera_from_the_command_line():
    chosen = single(
        "rtsp://cam/1", ("rtsp://s/1", "x/index.m3u8", "y.mp4"), method="blur", latency="low"
    )
    camera = chosen.cameras[0]
    assert [output.kind for output in camera.outputs] == ["rtsp", "hls", "record"]
    assert camera.latency == "low"
    assert chosen.method.name == "blur"


def test_options_are_frozen():
    loaded = live.load(EXAMPLE)
    parts: list[BaseModel] = [loaded, loaded.cameras[0], loaded.page]
    assert all(part.model_config["frozen"] for part in parts)
