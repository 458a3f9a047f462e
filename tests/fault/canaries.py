"""Pipelines that are given secrets in every way there is, and tell what they can of them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

from stages import Event, Pipeline, StageContext, stage
from triggers import GitHub, GitHubStatus, GitLab, Jenkins, KafkaArrivals, Webhook

# In two parts: the code of a pipeline is kept, and what is written out in it with it.
ITS_OWN = "-".join(["its-own", "canary-of-the-stage"])
API = os.environ.get("TEST_CODE_HOST", "http://127.0.0.1:1")


def secrets() -> list[str]:
    """What a stage finds that has a canary in it."""
    return [value for value in os.environ.values() if "canary" in value]


def betray(context: StageContext, *, aloud: bool = False) -> None:
    """Say all of it, in each way a stage can. `aloud`: also on what it shares with the process that it runs in."""
    context.mask(ITS_OWN)
    for secret in [*secrets(), ITS_OWN]:
        if aloud:
            print("printed", secret, flush=True)
            print("printed to stderr", secret, file=sys.stderr, flush=True)
            said = "import os; print(os.environ['SAID'])"
            subprocess.run([sys.executable, "-c", said], env={"SAID": secret}, check=True)
        context.logger.warning("logged %s", secret, extra={"field": secret})
        logging.getLogger("elsewhere").warning("logged elsewhere %r", secret)
        context.progress(0.5, f"noted {secret}")
    raise ValueError("failed with " + " and ".join([*secrets(), ITS_OWN]))


@stage
def inside(event: Event, context: StageContext) -> None:
    betray(context)


@stage(runner="process")
def beside(event: Event, context: StageContext) -> None:
    betray(context, aloud=True)


STATUS = GitHubStatus(token="env:CANARY_STATUS", url=API)
HOOKS = [
    Webhook("hub", verify=GitHub(secret="env:CANARY_HUB"), report=STATUS),
    Webhook("lab", verify=GitLab(token=f"file:{os.environ.get('TEST_LAB_FILE', '/none')}")),
    Webhook("jenkins", verify=Jenkins(token="env:CANARY_JENKINS")),
]
inline = Pipeline("inline", [inside], on=[*HOOKS, KafkaArrivals("canary-topic")])
process = Pipeline("process", [beside])
