"""Credentials: taken from the environment or a file, shown to nobody.

A ``SecretUrl`` is printed without what is secret in it: user and password, whatever a ``${NAME}``
stands for, and the query, where cameras and servers like to put tokens. Only ``reveal`` gives all
of it, to the process that opens the address.
"""

from __future__ import annotations

import ctypes
import os
import re
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from stream_anon.errors import ConfigError

MASK = "***"
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LARGEST = 4096
_SYSTEM = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
TLS = ("rtsps", "rtmps", "https")
_SHORTEST = 3
"""Characters: a shorter secret is not looked for in other texts, where it would hit by chance."""


class Secret:
    """A text that does not print itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("secret", self._text))

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")


class SecretUrl:
    """An address with what is secret in it.

    Attributes:
        shown: the address for people: nothing secret.
        scheme: in lower case; empty for a path.

    Args:
        full: the address as FFmpeg takes it.
        secrets: parts of it that came from elsewhere.
    """

    __slots__ = ("_full", "_secrets", "scheme", "shown")

    def __init__(self, full: str, secrets: Iterable[str] = ()) -> None:
        self._full = full
        self.scheme = scheme_of(full)
        found = {one for one in secrets if one}
        found |= {quote(one, safe="") for one in found} | {unquote(one) for one in found}
        self.shown = _bare(full) if self.scheme else full
        if self.scheme:
            parts = urlsplit(full)
            for one in (parts.password, parts.query):
                if one:
                    found |= {one, unquote(one)}
            found |= _values(parts.query)
        self._secrets = tuple(sorted(found, key=len, reverse=True))
        self.shown = redacted(self.shown, self._secrets)

    def reveal(self) -> str:
        """The whole address."""
        return self._full

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must appear nowhere."""
        return self._secrets

    def __repr__(self) -> str:
        return f"SecretUrl({self.shown!r})"

    def __str__(self) -> str:
        return self.shown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretUrl) and other._full == self._full

    def __hash__(self) -> int:
        return hash(("url", self._full))

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")


def scheme_of(text: str) -> str:
    """The scheme of an address, in lower case; empty for a path."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    return match.group(1).lower() if match else ""


def resolve(
    template: str,
    *,
    username: str | None = None,
    password_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> SecretUrl:
    """An address with its credentials put in.

    Args:
        template: may name variables of the environment, ``${NAME}``.
        username: is put before the host, with the password.
        password_file: its first line is the password.
        environment: None takes the process's.

    Raises:
        ConfigError: a variable is not set, the file cannot be read, or a password stands in the
            address itself.
    """
    values = os.environ if environment is None else environment
    secrets: list[str] = []
    shown = _NAME.sub(MASK, template)
    if scheme_of(template) and (urlsplit(_NAME.sub("", template)).password or ""):
        raise ConfigError(
            f"{_bare(shown)}: holds a password; write ${{NAME}} and set the variable, or use "
            "username and password_file"
        )

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in values:
            raise ConfigError(f"{_bare(shown)}: the environment has no {name}")
        secrets.append(values[name])
        # Between '//' and '@' a password may hold anything; elsewhere it is taken as it is.
        inside = "@" in template[match.end() :].split("/")[0]
        return quote(values[name], safe="") if inside else values[name]

    full = _NAME.sub(value, template)
    if username is not None:
        user = _NAME.sub(value, username)
        password = ""
        if password_file is not None:
            password = _first_line(password_file)
            secrets.append(password)
        parts = urlsplit(full)
        host = parts.netloc.rpartition("@")[2]
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        full = urlunsplit(parts._replace(netloc=f"{login}@{host}"))
    elif password_file is not None:
        raise ConfigError(f"{_bare(shown)}: has a password_file but no username")
    return SecretUrl(full, secrets)


def read_secret(text: str, environment: Mapping[str, str] | None = None) -> Secret:
    """A secret of a configuration: ``${NAME}`` or ``file:/path``.

    Raises:
        ConfigError: it is neither, or is not there.
    """
    values = os.environ if environment is None else environment
    if text.startswith("file:"):
        return Secret(_first_line(Path(text.removeprefix("file:"))))
    match = _NAME.fullmatch(text)
    if match is None:
        raise ConfigError("a secret is written ${NAME} or file:/path, never as it is")
    if match.group(1) not in values:
        raise ConfigError(f"the environment has no {match.group(1)}")
    return Secret(values[match.group(1)])


def tls_options(verify: bool, ca_file: Path | None) -> dict[str, str]:
    """FFmpeg's options for an address over TLS; without them it believes every certificate.

    Args:
        verify: refuse certificates that nobody who is trusted has signed.
        ca_file: who is trusted; None for the system's.
    """
    if not verify:
        return {"tls_verify": "0"}
    paths = (ca_file, ssl.get_default_verify_paths().cafile, *_SYSTEM)
    trusted = next((str(path) for path in paths if path and Path(path).is_file()), "")
    return {"tls_verify": "1", **({"ca_file": trusted} if trusted else {})}


def named(text: str) -> set[str]:
    """Variables of the environment that a text names."""
    return set(_NAME.findall(text))


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets, and without logins in addresses."""
    for one in sorted(secrets, key=len, reverse=True):
        if len(one) >= _SHORTEST:
            text = text.replace(one, MASK)
    return re.sub(r"(://)[^/@\s'\"]+@", rf"\1{MASK}@", text)


def wipe_environment(names: Iterable[str]) -> None:
    """Take variables out of this process's environment, and their text out of its memory.

    ``/proc/PID/environ`` shows the block that the process was started with, whatever was unset
    since, so the block itself is overwritten.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    for name in names:
        value = os.environ.get(name)
        if value is None:
            continue
        place = libc.getenv(name.encode())
        if place:
            ctypes.memset(place, ord("*"), len(os.fsencode(value)))
        os.environ.pop(name, None)


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is no text"
        raise ConfigError(f"{path}: the password cannot be read ({why.lower()})") from None
    lines = text.splitlines()
    if not lines or not lines[0]:
        raise ConfigError(f"{path}: holds no password")
    return lines[0]


def _bare(url: str) -> str:
    """An address without login and query."""
    if not scheme_of(url):
        return url
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    return urlunsplit(
        parts._replace(
            netloc=f"{MASK}@{host}" if at or login else host,
            query=MASK if parts.query else "",
            fragment="",
        )
    )


def _values(query: str) -> set[str]:
    found = set()
    for pair in query.split("&"):
        value = pair.partition("=")[2]
        # ``listen=1`` and port numbers are no secrets.
        if len(value) >= 8:
            found |= {value, unquote(value)}
    return found
