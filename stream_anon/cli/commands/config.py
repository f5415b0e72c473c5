"""``stream-anon config``: every option with its comment, ready to be changed and passed back."""

from __future__ import annotations

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option("--preset", metavar="NAME", help="Start from this preset instead of the defaults.")
@click.option("--presets", "list_presets", is_flag=True, help="List the presets.")
def config(preset: str | None, list_presets: bool) -> None:
    """Print every option, commented, as YAML.

    \b
    stream-anon config > mine.yaml
    stream-anon redact street.mp4 --config mine.yaml
    """
    from stream_anon import recipes
    from stream_anon.config import Config, document, load

    if list_presets:
        for name in recipes.presets():
            first = recipes.preset(name).read_text(encoding="utf-8").splitlines()[0]
            click.echo(f"{name:<10} {first.lstrip('# ')}")
        return
    chosen = load(recipes.preset(preset)) if preset else Config()
    click.echo(document(chosen), nl=False)
