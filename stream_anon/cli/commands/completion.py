"""``stream-anon completion``: the script that completes commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash:  eval "$(stream-anon completion bash)"     in ~/.bashrc
    zsh:   eval "$(stream-anon completion zsh)"      in ~/.zshrc
    fish:  stream-anon completion fish | source      in config.fish
    """
    from stream_anon.cli.main import cli

    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"no completion for {shell}")
    click.echo(maker(cli, {}, "stream-anon", "_STREAM_ANON_COMPLETE").source())
