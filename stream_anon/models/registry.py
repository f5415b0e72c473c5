"""The weights' registry: every file by name, with its source, licence and pinned SHA-256.

A file is looked for in the folder that the caller names, then in ``STREAM_ANON_MODELS``,
then in the user's cache, and is hashed at every look-up: what does not match is never used.
What is missing is fetched (``stream_anon.models.fetch``) and stored whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from stream_anon.errors import ModelError
from stream_anon.models import fetch as _fetch

State = Literal["ok", "missing", "wrong"]

RETRY_SECONDS = 86400.0
"""After a failure, what a run can do without is not fetched again for so long."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that the registry knows.

    Attributes:
        name: how the registry calls it.
        kind: ``detector``, ``mesh`` or ``sample``.
        what: one line for a reader.
        file: its name in the models folder.
        sha256: of the file, hexadecimal.
        size: of the file, in bytes.
        licence: as its origin states it.
        input: the input convention.
        source: where it comes from.
        verified: what of this was checked, and how.
    """

    name: str
    kind: str
    what: str
    file: str
    sha256: str
    size: int
    licence: str
    input: str
    source: _fetch.Source
    verified: str


def names(kind: str | None = None) -> list[str]:
    """All names, or those of one kind, sorted."""
    return sorted(n for n, entry in _entries().items() if kind is None or entry.kind == kind)


def describe(name: str) -> Entry:
    """What is known of ``name``.

    Raises:
        ModelError: no such name.
    """
    try:
        return _entries()[name]
    except KeyError:
        known = ", ".join(names())
        raise ModelError(f"there is no model '{name}'; there are {known}") from None


def folders(models_dir: str | Path | None = None) -> list[Path]:
    """Folders that are searched, in order: the caller's, ``STREAM_ANON_MODELS``, the cache."""
    found = [Path(models_dir)] if models_dir is not None else []
    if variable := os.environ.get("STREAM_ANON_MODELS"):
        found.append(Path(variable))
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    found.append(Path(cache) / "stream-anon" / "models")
    return list(dict.fromkeys(found))


def verify(name: str, models_dir: str | Path | None = None) -> State:
    """Whether the right file lies in one of the folders; fetches nothing.

    Returns:
        ``ok``; ``missing``; ``wrong``: there is a file of that name, of another content.

    Raises:
        ModelError: no such name.
    """
    return _find(describe(name), models_dir)[0]


def path(name: str, models_dir: str | Path | None = None, fetch: bool = True) -> Path:
    """The file, hashed just now; fetched where it is missing or corrupt.

    Args:
        name: as in ``names()``.
        models_dir: searched, and stored to, before all other folders.
        fetch: False never touches the network.

    Raises:
        ModelError: it is not there and could not be fetched; one line that says what to do.
    """
    entry = describe(name)
    state, found = _find(entry, models_dir)
    if state == "ok" and found is not None:
        return found
    if fetch:
        return pull(name, models_dir)
    problem = "is missing" if state == "missing" else f"is not the pinned file ({found})"
    raise ModelError(f"model '{name}' {problem}; {_advice(entry, models_dir)}")


def path_if_due(name: str, models_dir: str | Path | None = None) -> Path:
    """As ``path``, for what a run can do without: a fetch that failed is not tried again for a day.

    Raises:
        ModelError: it is not there, and could not be fetched now or lately.
    """
    tried = folders(models_dir)[-1] / f".{name}.not-fetched"
    if verify(name, models_dir) != "ok" and _is_recent(tried):
        return path(name, models_dir, fetch=False)
    try:
        return path(name, models_dir)
    except ModelError:
        _remember(tried)
        raise


def _is_recent(tried: Path) -> bool:
    try:
        return time.time() - tried.stat().st_mtime < RETRY_SECONDS
    except OSError:
        return False


def _remember(tried: Path) -> None:
    with contextlib.suppress(OSError):
        tried.parent.mkdir(parents=True, exist_ok=True)
        tried.touch()


def pull(name: str, models_dir: str | Path | None = None) -> Path:
    """Fetch ``name`` where it is missing or corrupt, check it and store it whole.

    Raises:
        ModelError: it could not be fetched, is not what was pinned, or cannot be stored.
    """
    entry = describe(name)
    state, found = _find(entry, models_dir)
    if state == "ok" and found is not None:
        return found
    try:
        content = _fetch.fetch(entry.source, entry.size)
    except ModelError as error:
        raise ModelError(
            f"model '{name}' cannot be fetched: {error}; {_advice(entry, models_dir)}"
        ) from error
    found_hash = hashlib.sha256(content).hexdigest()
    if found_hash != entry.sha256:
        raise ModelError(
            f"model '{name}': what was fetched hashes to {found_hash[:12]}…, "
            f"pinned is {entry.sha256[:12]}…; nothing was stored"
        )
    return _store(entry, content, folders(models_dir))


def _advice(entry: Entry, models_dir: str | Path | None) -> str:
    return (
        f"on a machine with network run `stream-anon models pull`, or put {entry.file} into "
        f"{folders(models_dir)[0]} (or name its folder by --models-dir or STREAM_ANON_MODELS)"
    )


def _find(entry: Entry, models_dir: str | Path | None) -> tuple[State, Path | None]:
    wrong: Path | None = None
    for folder in folders(models_dir):
        candidate = folder / entry.file
        try:
            if not candidate.is_file():
                continue
            # The size first: a name clash with something huge need not be hashed.
            same = candidate.stat().st_size == entry.size and _hash(candidate) == entry.sha256
        except OSError:
            same = False
        if same:
            return "ok", candidate
        wrong = wrong or candidate
    return ("wrong", wrong) if wrong is not None else ("missing", None)


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _store(entry: Entry, content: bytes, candidates: list[Path]) -> Path:
    """Write to the first folder that takes it; another process never sees half a file."""
    problem: OSError | None = None
    for folder in candidates:
        temporary: Path | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{entry.file}.", dir=folder)
            temporary = Path(name)
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            return temporary.replace(folder / entry.file)
        except OSError as error:
            problem = problem or error
            if temporary is not None:
                temporary.unlink(missing_ok=True)
    raise ModelError(f"model '{entry.name}' cannot be stored: {problem}")


@lru_cache(maxsize=1)
def _entries() -> Mapping[str, Entry]:
    text = resources.files("stream_anon.models").joinpath("models.yaml").read_text("utf-8")
    return parse(yaml.safe_load(text))


def parse(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Entry]:
    """Read the registry's table.

    Raises:
        ModelError: an entry lacks something or a hash is no SHA-256.
    """
    entries = {}
    for name, fields in data.items():
        try:
            values = dict(fields)
            source = _fetch.source(values.pop("source"))
            entry = Entry(name=name, source=source, **values)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"registry entry '{name}' is malformed: {error}") from error
        hashed = len(entry.sha256) == 64 and set(entry.sha256) <= set("0123456789abcdef")
        if not hashed or Path(entry.file).name != entry.file or not entry.size > 0:
            raise ModelError(f"registry entry '{name}' is malformed: hash, file name or size")
        entries[name] = entry
    return entries
