from __future__ import annotations

import cv2
import pytest

from stream_anon.cli import run
from tests.visual_mixer.scenes import scene


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for i in range(3):
        cv2.imwrite(str(source / f"{i}.png"), scene(48, 48, i))
    return source


def test_a_folder_is_mixed(folder, tmp_path, capsys):
    assert run(["mix", str(folder), "-o", str(tmp_path / "out"), "--vfe", "80"]) == 0
    assert "3 mixed" in capsys.readouterr().out
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_a_bad_file_is_named_and_the_exit_code_is_1(folder, tmp_path, capsys):
    (folder / "bad.jpg").write_bytes(b"x")
    assert run(["mix", str(folder), "-o", str(tmp_path / "out"), "--full"]) == 1
    said = capsys.readouterr()
    assert "bad.jpg: is no image" in said.err
    assert "3 mixed, 1 failed" in said.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--vfe", "0"],
        ["--vfe", "90", "--full"],
        ["--channels", "2"],
        ["--region", "7"],
    ],
)
def test_a_wrong_request_is_2_and_nothing_is_written(folder, tmp_path, arguments):
    assert run(["mix", str(folder), "-o", str(tmp_path / "out"), *arguments]) == 2
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there_is_1(tmp_path, capsys):
    assert run(["mix", str(tmp_path / "no"), "-o", str(tmp_path / "out")]) == 1
    assert "is no folder" in capsys.readouterr().err


def test_an_output_without_a_place_is_2(folder):
    assert run(["mix", str(folder)]) == 2


def test_quiet_says_nothing(folder, tmp_path, capsys):
    assert run(["mix", str(folder), "-o", str(tmp_path / "out"), "-q"]) == 0
    said = capsys.readouterr()
    assert said.out == said.err == ""
