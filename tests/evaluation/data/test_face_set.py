from __future__ import annotations

import io
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from stream_anon.errors import InputError
from stream_anon.evaluation.data.cache import EmbeddingCache, content_key
from stream_anon.evaluation.data.face_set import read_faces, read_pairs

NAMES = ("Ann_0001.png", "Ann_0002.png", "Bo_Li_0001.png", "Cy_0001.png")


def image(value: int, side: int = 128) -> bytes:
    pixels = np.full((side, side, 3), value, np.uint8)
    pixels[..., 2] = 200
    return cv2.imencode(".png", pixels)[1].tobytes()


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def faces(tmp_path: Path):
    return read_faces(pack(tmp_path / "set.tar", {n: image(i) for i, n in enumerate(NAMES)}))


def test_a_tar_and_a_folder_are_read_alike(tmp_path, faces):
    folder = tmp_path / "folder" / "deeper"
    folder.mkdir(parents=True)
    for i, name in enumerate(NAMES):
        (folder / name).write_bytes(image(i))
    (folder / "notes.txt").write_text("no image")
    other = read_faces(tmp_path / "folder")
    assert other.names == faces.names == NAMES
    assert np.array_equal(other.images([2, 0]), faces.images([2, 0]))
    # RGB, whatever OpenCV thinks.
    assert faces.images([1])[0, 0, 0].tolist() == [200, 1, 1]


def test_people_are_the_names_up_to_the_last_underscore(faces):
    people = faces.people()
    assert people[0] == people[1]
    assert len(set(people.tolist())) == 3


def test_another_size_is_scaled_to_the_face_frame(tmp_path):
    found = read_faces(pack(tmp_path / "s.tar", {"a_1.png": image(9, 40)}))
    assert found.images([0]).shape == (1, 128, 128, 3)


def test_what_is_no_set_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no image"):
        read_faces(pack(tmp_path / "empty.tar", {"a.txt": b"x"}))
    with pytest.raises(InputError, match="two images are called"):
        read_faces(pack(tmp_path / "two.tar", {"a/x.png": b"1", "b/x.png": b"2"}))
    with pytest.raises(InputError, match="is no image"):
        read_faces(pack(tmp_path / "bad.tar", {"a.png": b"nonsense"})).images([0])
    (tmp_path / "text.tar").write_text("no tar")
    for name in ("text.tar", "gone.tar"):
        with pytest.raises(InputError, match=name):
            read_faces(tmp_path / name)


def pairs_file(folder: Path, *rows: str, head: str = "fold,a,b,same") -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


GOOD = ("0,Ann_0001.png,Ann_0002.png,1", "1,Ann_0001.png,Cy_0001.png,0")


def test_pairs_name_rows_of_the_set(tmp_path, faces):
    pairs = read_pairs(pairs_file(tmp_path, *GOOD), faces)
    assert (pairs.a.tolist(), pairs.b.tolist()) == ([0, 0], [1, 3])
    assert pairs.same.tolist() == [True, False]
    assert len(pairs.take(1)) == 2


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ((GOOD[0],), "needs pairs of one person and pairs of two"),
        ((GOOD[1],), "needs pairs of one person and pairs of two"),
        ((*GOOD, "0,Ann_0001.png,Ann_0001.png,1"), ":4: is no pair"),
        ((*GOOD, "0,Ann_0001.png,Dee_0001.png,0"), ":4: Dee_0001.png is not in set"),
        ((*GOOD, "0,Ann_0001.png,Cy_0001.png,maybe"), ":4: is no pair"),
        ((*GOOD, "x,Ann_0001.png,Cy_0001.png,0"), "invalid literal"),
    ],
)
def test_wrong_pairs_are_refused_with_their_line(tmp_path, faces, rows, word):
    with pytest.raises(InputError, match=word):
        read_pairs(pairs_file(tmp_path, *rows), faces)


def test_missing_columns_and_files_are_refused(tmp_path, faces):
    with pytest.raises(InputError, match="columns"):
        read_pairs(pairs_file(tmp_path, "0,x,y", head="fold,a,b"), faces)
    with pytest.raises(InputError, match=r"gone\.csv"):
        read_pairs(tmp_path / "gone.csv", faces)


def test_the_same_subset_is_taken_at_every_call(tmp_path, faces):
    rows = [f"0,Ann_0001.png,{n},0" for n in NAMES[2:]] + [GOOD[0]]
    pairs = read_pairs(pairs_file(tmp_path, *rows), faces)
    assert pairs.take(1).b.tolist() == pairs.take(1).b.tolist()
    assert pairs.take(9).same.sum() == 1


def test_the_cache_survives_and_tells_images_and_conditions_apart(tmp_path):
    one, two = np.zeros((4, 4, 3), np.uint8), np.ones((4, 4, 3), np.uint8)
    keys = {content_key(one), content_key(two), content_key(one, "blur"), content_key(one[:2])}
    assert len(keys) == 4
    cache = EmbeddingCache(tmp_path / "c", "net", 2)
    cache.put(content_key(one), np.array([0.6, 0.8], np.float32))
    cache.save()
    again = EmbeddingCache(tmp_path / "c", "net", 2)
    assert again.get(content_key(one)).tolist() == pytest.approx([0.6, 0.8])
    assert again.get(content_key(two)) is None
    assert len(EmbeddingCache(tmp_path / "c", "net", 3)) == 0


def test_half_a_cache_file_is_computed_anew(tmp_path):
    (tmp_path / "net.npz").write_bytes(b"PK\x03\x04 torn")
    assert len(EmbeddingCache(tmp_path, "net", 2)) == 0


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = EmbeddingCache(None, "net", 2)
    cache.put(b"k" * 16, np.zeros(2, np.float32))
    cache.save()
    assert not list(tmp_path.iterdir())
