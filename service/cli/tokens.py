"""`tidemill tokens`: who may ask the daemon for what."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.arguments import Asker, Limit, asker
from service.cli.links import seconds
from service.cli.options import AsJson, ConfigFile

LONGEST_S = 3660 * 86_400.0
NEVER = "never"
Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: what is done with it is recorded so.")]
Roles = Annotated[
    list[str], typer.Option("--role", metavar="ROLE", help="viewer, operator, approver or admin. May be repeated.")
]
Pipelines = Annotated[
    list[str] | None,
    typer.Option("--pipeline", metavar="NAME", help="For an approver: whose gates, as a name or flights*. Repeatable."),
]
Expires = Annotated[str, typer.Option(metavar="TIME", help="How long it stands: 8h, 90d, or never.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    tokens = typer.Typer(no_args_is_help=True, help="Tokens of the API: who may ask the daemon for what.")
    tokens.command("create")(create)
    tokens.command("list")(list_tokens)
    tokens.command("revoke")(revoke)
    app.add_typer(tokens, name="tokens")


def create(
    name: Name,
    role: Roles,
    pipeline: Pipelines = None,
    expires: Expires = "90d",
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. It is printed this once: the daemon keeps only a digest of it.

    Example: tidemill tokens create ci --role operator --expires 90d
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    until_s = None if expires.strip() == NEVER else seconds(expires, LONGEST_S)
    client = open_client(config_file)
    made = client.make_token(name, role, pipeline or (), expires_s=until_s, by=asker(by, client))
    if as_json:
        print_json(made)
        return
    until = f"until {made['expires_at'][:16].replace('T', ' ')} UTC" if made["expires_at"] else "until it is revoked"
    typer.echo(made["token"])
    typer.echo(f"{made['name']} is {' and '.join(made['roles'])} {until}; this is the only time it is shown", err=True)


def list_tokens(
    revoked: Annotated[bool, typer.Option("--all", help="Those that were revoked, too.")] = False,
    limit: Limit = 50,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the tokens: whose they are, what they may do, when they were last used.

    Example: tidemill tokens list
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    answer = open_client(config_file).tokens(limit=limit, revoked=revoked)
    if as_json:
        print_json(answer)
        return
    from service.cli.views.access import print_tokens
    from triggers.event import utc_now

    print_tokens(answer, utc_now())


def revoke(name: Name, by: Asker = None, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """End a token. Within seconds nobody gets in by it.

    Example: tidemill tokens revoke ci
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    answer = client.revoke_token(name, by=asker(by, client))
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"the token of {answer['name']} stands no more")
