"""One camera, as a command line describes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stream_anon.errors import ConfigError
from stream_anon.live.config import LiveConfig, parse
from stream_anon.live.secret import named, redacted, scheme_of


def single(source: str, targets: tuple[str, ...], **options: Any) -> LiveConfig:
    """The configuration of ``stream-anon live SOURCE -o TARGET``.

    Args:
        source: an address.
        targets: addresses, folders for HLS that end in ``/``, or files.
        **options: of the camera, or ``method`` by its name.

    Raises:
        ConfigError: something is wrong with one of them.
    """
    for address in (source, *targets):
        if scheme_of(address) and named(address) == set() and urlsplit(address).password:
            raise ConfigError(
                f"{redacted(address, ())}: a password on the command line can be read by every "
                "user of this machine; write ${NAME} and set the variable"
            )
    outputs = []
    for target in targets:
        if scheme_of(target):
            outputs.append({"url": target})
        elif target.endswith(".m3u8"):
            outputs.append({"hls": str(Path(target).parent)})
        else:
            outputs.append({"record": target})
    camera = {"name": "camera", "source": source, "outputs": outputs}
    data: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        if name == "method":
            data["method"] = {"name": value}
        elif name in LiveConfig.model_fields:
            data[name] = value
        else:
            camera[name] = value
    return parse({**data, "cameras": [camera]}, "options")
