"""``--target`` and ``--region``: what they mean, and what they refuse."""

from __future__ import annotations

import pytest

from stream_anon.cli import run
from stream_anon.cli.commands.redact import redact, settings
from stream_anon.cli.targets import read_regions, read_targets
from stream_anon.config import OPTIONS
from stream_anon.errors import StreamAnonError
from tests.attacks.scene import write_clip


def chosen(**options):
    return settings({**dict.fromkeys([*OPTIONS, "preset", "config_file"]), **options})


def test_targets_are_labels_with_or_without_a_method():
    assert read_targets(["face", "head=fill"]) == {"face": None, "head": "fill"}
    config = chosen(target=("face", "head=pixelate"), method="blur", cells=4)
    assert config.targets == {"face": None, "head": "pixelate"}
    assert config.method.cells == 4, "the options of a named method stand with the run's own"
    assert chosen().targets == {"face": None}


def test_regions_are_rectangles_and_polygons_in_pixels_and_shares():
    assert read_regions(["10%,20%,30%,40%"]) == [
        {"corners": (("10%", "20%"), ("30%", "40%")), "method": None}
    ]
    config = chosen(region=("1,2,30,4,5.5,60=blur",))
    (region,) = config.regions
    assert region.corners == ((1.0, 2.0), (30.0, 4.0), (5.5, 60.0))
    assert region.method == "blur"


@pytest.mark.parametrize(
    "words",
    [
        ["--target", "face", "--target", "face=fill"],
        ["--target", "=fill"],
        ["--target", "head="],
        ["--target", "elephant"],
        ["--target", "head=identity"],
        ["--target", "head=no-such-method"],
        ["--target", "region=fill"],
        ["--region", "10,20,30"],
        ["--region", "10,20,30,x"],
        ["--region", "10%,20%,30%,140%"],
        ["--region", "10,10,10,90"],
        ["--region", "900,900,990,990"],
        ["--region", "10,10,90,90=identity"],
        ["--cells", "4", "--target", "face=blur"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_one_line_and_nothing_is_written(tmp_path, capfd, words):
    clip = write_clip(tmp_path / "clip.mp4", frames=4)
    given = ["redact", str(clip), "-o", str(tmp_path / "o.mp4"), "-q", "--method", "fill"]
    code = run([*given, *words])
    said = capfd.readouterr().err.strip().splitlines()
    assert code in (1, 2), said
    assert len(said) <= 2, said
    assert any("error" in line.lower() for line in said)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_help_names_them():
    import click

    words = redact.get_help(click.Context(redact, info_name="redact"))
    assert "--target" in words
    assert "--region" in words
    assert issubclass(StreamAnonError, Exception)
