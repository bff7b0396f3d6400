"""The command ``tipsc``: finds the verb, and turns every way to fail into one sentence and a code.

Exit codes: 0 done, 1 failed, 2 usage, 3 incompatible engine, 4 device unreachable, 130 stopped by
Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, cast

import click

from tipsc import __version__
from tipsc.cli.failures import report_failure
from tipsc.cli.stopping import stop_on_sigterm
from tipsc.cli.terminal import say, survive_any_encoding
from tipsc.errors import near

#: verb to (module, one line of help), in the order of a project's life. The line stands here so
#: that ``tipsc --help`` imports no verb, and no verb pays for the imports of another.
VERBS = {
    "init": ("tipsc.cli.init", "Write a project to start from, which builds as it stands."),
    "check": ("tipsc.cli.check", "Try what can go wrong, in seconds, before anything is trained."),
    "train": ("tipsc.cli.train", "Train the supernet; also under torchrun."),
    "score": ("tipsc.cli.score", "Rank feature maps and paths by topology, before any training."),
    "profile": ("tipsc.cli.profile", "Measure candidate paths on the target."),
    "build": ("tipsc.cli.build", "Do everything that is missing, up to a verified engine."),
    "clean": ("tipsc.cli.clean", "Remove what earlier builds left behind."),
    "finish": ("tipsc.cli.finish", "Complete an unbuilt engine on the device that it is for."),
    "verify": ("tipsc.cli.verify", "Compare every path of an engine with torch."),
    "run": ("tipsc.cli.run", "Run an engine once, by path or by time budget."),
    "bench": ("tipsc.cli.bench", "Measure every path of an engine, here or on a device."),
    "inspect": ("tipsc.cli.inspect", "Show what is in an engine."),
    "report": ("tipsc.cli.report", "Say whether engines pay: a page for those who decide."),
    "unpack": ("tipsc.cli.unpack", "Give the standard files in an engine back."),
    "embed": ("tipsc.cli.embed", "Write a small application around an engine."),
    "sign": ("tipsc.cli.sign", "Sign an engine, so that devices know who made it."),
    "delta": ("tipsc.cli.delta", "Write what turns one engine into another, to send that alone."),
    "apply": ("tipsc.cli.apply", "Make the new engine from the old one and a delta."),
    "trace": ("tipsc.cli.trace", "Sum up and draw what an application's calls took."),
    "device": ("tipsc.cli.device", "Ask, test or clean a device."),
    "targets": ("tipsc.cli.targets", "List the kinds of devices that can be built for."),
    "doctor": ("tipsc.cli.doctor", "Examine this installation, for a bug report."),
}


class LazyGroup(click.Group):
    """Imports a verb when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        return cast(click.Command, importlib.import_module(VERBS[cmd_name][0]).command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            ctx.fail(f"there is no verb {args[0]!r}; {near(args[0], VERBS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 incompatible engine, 4 device unreachable.",
)
@click.version_option(__version__, prog_name="tipsc")
@click.pass_context
def tipsc(context: click.Context) -> None:
    """Make a PyTorch model anytime, and compile one path-switchable engine per edge device."""
    if context.invoked_subcommand is None:
        say(context.get_help())


def _end_quietly() -> None:
    """LiteRT's library tells of its end on stderr, where our last line stands."""
    if "ai_edge_litert" in sys.modules:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The entry point; always ends the process.

    Args:
        arguments: by default those of the process.
    """
    # Read when torch is loaded. Threads that wait by spinning make a training ten times slower as
    # soon as something else wants one of the cores; sleeping costs nothing that could be measured.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    survive_any_encoding()
    stop_on_sigterm()
    atexit.register(_end_quietly)  # the first to be registered is the last to run
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = tipsc.main(given, prog_name="tipsc", standalone_mode=False)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        sys.exit(report_failure(error, given))
    sys.exit(code if isinstance(code, int) else 0)
