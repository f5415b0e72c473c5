"""The manifest keeps its schema, and the schema is the one that is committed."""

from __future__ import annotations

import json

import jsonschema
import pytest
from jsonschema.validators import Draft202012Validator

import stream_anon
from stream_anon.pipeline.report import schema
from tests.attacks.scene import write_clip


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    clip = write_clip(folder / "clip.mp4", 12)
    path = folder / "report.json"
    stream_anon.redact(clip, folder / "out.mp4", report=path)
    return json.loads(path.read_text())


def test_the_committed_schema_is_the_one_of_the_code(root):
    committed = json.loads((root / "docs" / "report.schema.json").read_text())
    how = "run: python -m stream_anon.pipeline.report > docs/report.schema.json"
    assert committed == schema(), how


def test_a_report_keeps_the_schema(report):
    Draft202012Validator.check_schema(schema())
    jsonschema.validate(report, schema())


@pytest.mark.parametrize("spoil", [{"extra": 1}, {"pictures": None}, {"schema_version": 2}])
def test_the_schema_refuses_what_is_no_report(report, spoil):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**report, **spoil}, schema())


def test_what_it_tells(report):
    assert report["pictures"]["input"] == report["pictures"]["output"] == 12
    assert len(report["input"]["sha256"]) == len(report["output"]["sha256"]) == 64
    assert {s["action"] for s in report["streams"]} == {"redact", "copy"}
    assert report["models"][0]["name"] == "centerface"
    assert set(report["time"]["wall"]) >= {"decode", "detect and track", "paint", "encode"}
    assert report["time"]["total"] > 0
