"""Embeddings that were computed before, so that a measurement can be stopped and resumed.

Only embeddings are kept, never images. They are biometric data of whoever is in the set:
the folder belongs beside the set, under the same rules.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream_anon.errors import OutputError

Pixels = NDArray[np.uint8]


def content_key(image: Pixels, made_by: str = "clear") -> bytes:
    """16 bytes that stand for an image's pixels and for what was done to them."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(made_by.encode() + b"\x00" + str(image.shape).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.digest()


class EmbeddingCache:
    """Embeddings of one recogniser by content.

    Args:
        folder: where files lie; None keeps everything in memory.
        fingerprint: of the recogniser, its file's name there.
        dimension: length of an embedding.
    """

    def __init__(self, folder: Path | None, fingerprint: str, dimension: int) -> None:
        self._file = None if folder is None else folder / f"{fingerprint}.npz"
        self._known: dict[bytes, NDArray[np.float32]] = {}
        self._dirty = 0
        if self._file is not None and self._file.is_file():
            try:
                with self._file.open("rb") as stream, np.load(stream) as stored:
                    keys, vectors = stored["keys"], stored["vectors"]
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                # Half a file of an older run: it is computed anew.
                return
            if keys.ndim == 2 and keys.shape[1] == 16 and vectors.shape[1:] == (dimension,):
                self._known = {k.tobytes(): v for k, v in zip(keys, vectors, strict=True)}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """The embedding, if it is known."""
        return self._known.get(key)

    def put(self, key: bytes, embedding: NDArray[np.float32]) -> None:
        """Remember one; written to the disk now and then."""
        self._known[key] = embedding
        self._dirty += 1
        if self._dirty >= 4096:
            self.save()

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        if self._file is None or not self._dirty:
            return
        keys = np.frombuffer(b"".join(self._known), np.uint8).reshape(-1, 16)
        vectors = np.stack(list(self._known.values()))
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._file.parent, suffix=".partial")
            with os.fdopen(handle, "wb") as stream:
                np.savez(stream, keys=keys, vectors=vectors)
            Path(name).replace(self._file)
        except OSError as error:
            raise OutputError(f"{self._file}: cannot be written ({error})") from error
        self._dirty = 0
