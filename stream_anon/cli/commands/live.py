"""``stream-anon live``: cameras in, anonymized streams out, until it is told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from stream_anon.cli.boundary import fail_usage
from stream_anon.cli.rows import Command, option


@click.command(
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    options_metavar="[OPTIONS]",
)
@click.argument("source", metavar="[URL]", required=False)
@option("-c", "--config", "config_file", group="What", metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False), help="cameras.yaml")  # fmt: skip
@option("-o", "--output", "targets", group="What", metavar="URL", multiple=True,
        help="an address, x.mp4, or x/index.m3u8")  # fmt: skip
@option("--method", group="How", metavar="NAME", help="what happens to a face")
@option("--latency", group="How", metavar="low|balanced|careful",
        type=click.Choice(["low", "balanced", "careful"]),
        help="a frame waits 0.25, 0.6 or 1.7 s")  # fmt: skip
@option("--transport", group="How", metavar="tcp|udp", type=click.Choice(["tcp", "udp"]),
        help="of the camera")  # fmt: skip
@option("--device", group="How", metavar="auto|cpu|cuda",
        type=click.Choice(["auto", "cpu", "cuda"]), help="of painting and networks")  # fmt: skip
@option("--listen", group="How", metavar="HOST:PORT", help="serve the page and the metrics")
@option("--check", group="How", is_flag=True, help="look at the configuration and end")
def live(
    source: str | None,
    config_file: Path | None,
    targets: tuple[str, ...],
    method: str | None,
    latency: str | None,
    transport: str | None,
    device: str | None,
    listen: str | None,
    check: bool,
) -> None:
    """Anonymize cameras, for months: streams in, streams out.

    URL is rtsp://, rtmp://, http:// (HLS), tcp:// or udp:// (MPEG-TS, with
    ?listen=1 to wait for a sender), v4l2:///dev/video0 or file:///a.mp4.
    Passwords come from the environment: rtsp://viewer:${CAMERA_PASSWORD}@host/1

    SIGTERM finishes files and streams; SIGHUP reads cameras.yaml again.
    """
    from stream_anon.live import config as live_config
    from stream_anon.live.single import single

    options = (method, latency, transport, device)
    if (source is None) == (config_file is None):
        fail_usage("either a URL or --config is needed")
    reread = None
    if config_file is not None:
        if targets or any(options):
            fail_usage("with --config, outputs and options of cameras stand in the file")
        path = config_file

        def reread() -> live_config.LiveConfig:
            return live_config.load(path)

        chosen = reread()
    else:
        chosen = single(
            source or "", targets, method=method, latency=latency, transport=transport,
            device=device,
        )  # fmt: skip
    if listen is not None:
        page = {**chosen.page.model_dump(), "listen": listen}
        data = {**chosen.model_dump(), "page": page}
        chosen = live_config.parse(data, "options")
    from stream_anon.live.run import Run, signals

    running = Run(chosen, reread)
    if check:
        count = len(chosen.cameras)
        click.echo(f"{count} camera{'s' * (count != 1)}: everything that is named is there")
        return
    with signals(running):
        running.run()
