"""One frame as PNG: the right one, painted as in the run, and said to show people where it does."""

from __future__ import annotations

import stat

import cv2
import numpy as np
import pytest
from PIL import Image

from stream_anon.cli import run
from stream_anon.pipeline.painting.preview import _GAP
from tests.verification import clips


@pytest.fixture(scope="module")
def _clip(tmp_path_factory):
    return clips.write(tmp_path_factory.mktemp("clips") / "street.mp4", 60)


@pytest.fixture
def clip(_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "street.mp4"
    path.write_bytes(_clip.read_bytes())
    return path


def call(capfd, *words) -> tuple[int, str, str]:
    code = run(["redact", *(str(word) for word in words)])
    out, err = capfd.readouterr()
    return code, out, err


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def halves(path) -> tuple[np.ndarray, np.ndarray]:
    whole = cv2.imread(str(path))[..., ::-1].astype(int)
    wide = (whole.shape[1] - _GAP) // 2
    assert (whole[:, wide : wide + _GAP] == 255).all()
    return whole[:, :wide], whole[:, wide + _GAP :]


@pytest.mark.parametrize("index", [0, 7, 30, 58])
def test_before_and_after_beside_each_other(clip, capfd, index):
    code, out, err = call(capfd, clip, "--preview", index / 25, "--method", "fill")
    assert code == 0, err
    assert names(clip.parent) == ["street.mp4", "street_preview.png"]
    before, after = halves(clip.with_name("street_preview.png"))
    wanted = clips.frame(index).astype(int)
    off = [np.abs(clips.frame(n).astype(int) - before).mean() for n in range(60)]
    assert abs(int(np.argmin(off)) - index) <= 1
    assert np.abs(before - wanted).mean() < 8
    changed = np.abs(before - after).max(axis=2) > 20
    assert 0.02 < changed.mean() < 0.4
    assert "the left half of street_preview.png shows people" in err.replace(f"{clip.parent}/", "")
    assert f"frame at {index / 25:.3f} s" in out
    assert stat.S_IMODE(clip.with_name("street_preview.png").stat().st_mode) == 0o600


def test_quiet_still_warns(clip, capfd):
    _, out, err = call(capfd, clip, "--preview", 1, "--method", "fill", "-q")
    assert out == ""
    assert err.startswith("warning: the left half")


def test_after_alone_shows_nobody_and_says_so_by_silence(clip, capfd):
    code, _, err = call(
        capfd, clip, "--preview", "0:01,after", "-o", "one.png", "--method", "fill"
    )
    assert code == 0
    assert err == ""
    made = cv2.imread("one.png")
    assert made.shape == (240, 320, 3)
    call(capfd, clip, "--preview", "1", "-o", "two.png", "--method", "fill")
    np.testing.assert_array_equal(halves("two.png")[1], made[..., ::-1])


def test_it_is_what_the_run_makes(clip, capfd):
    call(capfd, clip, "--preview", "1,after", "-o", "one.png", "--method", "pixelate")
    call(capfd, clip, "-o", "out.mp4", "--method", "pixelate", "--crf", "4")
    import av

    with av.open("out.mp4") as container:
        whole = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
    made = cv2.imread("one.png")[..., ::-1]
    assert min(np.abs(frame - made).mean() for frame in whole[24:27]) < 3


def test_a_turned_video_is_shown_upright(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    clip = clips.write(tmp_path / "a.mp4", 30, rotation=180)
    call(capfd, clip, "--preview", "0.4", "--method", "fill")
    before, _ = halves(tmp_path / "a_preview.png")
    assert np.abs(before - clips.frame(10)).mean() < 8


def test_a_photo(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(clips.portrait()).save("a.jpg", quality=95)
    code, _, err = call(capfd, "a.jpg", "--preview", "0", "--method", "fill")
    assert code == 0, err
    before, after = halves("a_preview.png")
    assert np.abs(before - clips.portrait()).mean() < 4
    assert (np.abs(before - after).max(axis=2) > 20).mean() > 0.02


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--preview", "99"], "ends at"),
        (["--preview", "x"], "time"),
        (["--preview", "1,before"], "is no TIME"),
        (["--preview", "1", "-o", "a.jpg"], "a preview is a png"),
        (["--preview", "1", "-o", "there.png"], "exists"),
        (["--preview", "1", "--method", "nothing"], "nothing"),
    ],
)
def test_what_makes_no_sense(clip, capfd, words, told):
    (clip.parent / "there.png").write_text("mine")
    code, _, err = call(capfd, clip, *words)
    assert code == 2
    assert told in err
    assert names(clip.parent) == ["street.mp4", "there.png"]
    assert (clip.parent / "there.png").read_text() == "mine"


def test_several_or_a_folder(clip, capfd):
    for words in ([clip, clip], [clip.parent]):
        code, _, err = call(capfd, *words, "--preview", "1")
        assert code == 2
        assert "--preview takes one file" in err


def test_a_fault_leaves_nothing(clip, capfd, monkeypatch):
    from stream_anon.methods.fill import Fill

    def broken(self, crops, subjects):
        raise ValueError("broken")

    monkeypatch.setattr(Fill, "render", broken)
    code, _, err = call(capfd, clip, "--preview", "1", "--method", "fill")
    assert code == 1
    assert "broken" in err
    assert names(clip.parent) == ["street.mp4"]
