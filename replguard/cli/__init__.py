"""The command line: one file a verb, found by its name; an error is a sentence and an exit code, never a traceback."""

import importlib
import pkgutil
from typing import Any

import rich_click as click

from replguard import __version__
from replguard.errors import ConfigError, ReplguardError
from replguard.events.text import printable

WRONG = 2
"""Exit code for wrong usage or configuration; 1 means that something was found or failed."""
INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells tell it."""


class Verbs(click.RichGroup):
    """A group whose commands are the modules of this package; each exposes ``command``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(printable(str(problem)), err=True)
            ctx.exit(WRONG)
        except ReplguardError as error:
            click.echo(f"replguard: {printable(str(error))}", err=True)
            ctx.exit(WRONG)
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="replguard", message="%(prog)s %(version)s")
def group() -> None:
    """Notice when a language model, or whoever drives it, copies its weights or starts another copy of itself."""
