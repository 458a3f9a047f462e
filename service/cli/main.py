"""The `tidemill` command. Every module of this package that has `register(app)` adds its commands.

All of them are imported for `tidemill --help`, so they import at their top only what is quick, and the rest inside
their commands.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperOption

import service.cli


def main() -> None:
    """Run the command line."""
    in_words(lambda: build_app()(prog_name="tidemill"))


def in_words(command: Callable[[], None]) -> None:
    """An error of ours becomes one message on stderr and exit code 2, without a traceback."""
    try:
        command()
    except SystemExit:  # how commands end: what comes below is not evaluated for it
        raise
    except _our_errors() as error:  # evaluated only when something was raised: these imports would slow --help
        _fail([error])
    except ExceptionGroup as group:  # the daemon's tasks belong to groups
        ours, rest = group.split(_our_errors())
        if ours is None or rest is not None:
            raise
        _fail(_each(ours))


def _fail(errors: Iterable[Exception]) -> NoReturn:
    for error in errors:
        typer.echo(f"tidemill: {error}", err=True)
    sys.exit(2)


def _each(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _each(error)
        else:
            yield error


def build_app() -> typer.Typer:
    """The command line with all its commands."""
    # Rich help costs 0.2 s of imports; a plain one is as clear.
    app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_tidemill)
    for found in pkgutil.iter_modules(service.cli.__path__):
        module = importlib.import_module(f"{service.cli.__name__}.{found.name}")
        if hasattr(module, "register"):
            module.register(app)
    for one in (app, *(group.typer_instance for group in app.registered_groups)):
        for command in one.registered_commands if one is not None else ():
            command.cls = EachOnce
    return app


class EachOnce(TyperCommand):
    """A command that refuses an option given twice: the first would be passed over in silence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As any command does, once it is known that each option stands there once, but for those that take several."""
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for one in given:
            if isinstance(one, TyperOption) and not (one.multiple or one.is_flag) and given.count(one) > 1:
                ctx.fail(f"{one.opts[0]} is given {given.count(one)} times, and taken once")
        return super().parse_args(ctx, args)


def _our_errors() -> tuple[type[Exception], ...]:
    from service.errors import ServiceError
    from stages.errors import StageError
    from triggers.errors import TriggerError

    return ServiceError, StageError, TriggerError


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tidemill {version('tidemill')}")
        raise typer.Exit


def _tidemill(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Anything that happens becomes exactly one durable run of a pipeline, and that run finishes whatever crashes."""
