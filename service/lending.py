"""What a daemon lends to the runners of its stages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from service.lent_token import lent_token
from service.settings import Settings
from stages.runners.base import OpenRunner, RunnerTools, open_runner, runner_names


class Addressed(Protocol):
    """A daemon that may listen: its address is empty until it does."""

    address: str


@dataclass(slots=True)
class Lending:
    """`daemon` is set once it is built: its address is known once it listens. `runners` are those that were opened. The
    `key` is the installation's, where a provider says who is who.
    """

    settings: Settings
    installation: str
    key: bytes | None = None
    daemon: Addressed | None = None
    runners: dict[str, OpenRunner] = field(default_factory=dict)

    def api(self) -> tuple[str, str | None] | None:
        """Where stages in other processes find the models, and the token they need."""
        url = self.settings.client.url or (self.daemon.address if self.daemon is not None else "")
        token = self.settings.http.api_token
        secret = token.encode() if token else self.key
        return (url, lent_token(secret) if secret else None) if url else None

    def open_runners(self, tools: RunnerTools) -> dict[str, OpenRunner]:
        """Every runner there is, with these tools and what the settings and this daemon add to them."""
        executor = self.settings.executor
        lent = replace(
            tools,
            store_url=self.settings.artifacts.url,
            threads=executor.threads,
            warm=executor.warm_workers,
            kept_bytes=executor.kept_bytes,
            home=self.settings.home,
            api=self.api,
            container_cli=executor.container_cli,
            installation=self.installation,
        )
        self.runners = {name: open_runner(name, lent) for name in runner_names()}
        return self.runners
