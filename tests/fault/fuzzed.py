"""The pipelines of the daemon that the fuzzer attacks: a hook of every kind, and something behind each address."""

from __future__ import annotations

import base64

from pydantic import BaseModel

from stages import Event, Pipeline, stage
from stages.gates import approved
from triggers.approval import Approval
from triggers.cloudevents import CloudEvents
from triggers.objects import ObjectNotices
from triggers.objects.senders import SNS, GooglePush
from triggers.providers import Bitbucket, Buildkite, CircleCI, Gitea, GitLab, Jenkins
from triggers.signatures import HMAC, Bearer, GitHub, StandardWebhooks
from triggers.webhook import Webhook

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Params(BaseModel):
    factor: int = 2


@stage
def add(event: Event, params: Params) -> int:
    return params.factor


@stage
def double(add: int) -> int:
    return add * 2


@stage(reuse="run")
def breaks(event: Event) -> int:
    raise ValueError("it is broken")


open_hook = Webhook("open", params={"factor": "data.factor"})
signed = [
    Webhook("github", verify=GitHub("s")),
    Webhook("gitlab", verify=GitLab(token="s", signing=KEY)),
    Webhook("bitbucket", verify=Bitbucket("s")),
    Webhook("gitea", verify=Gitea("s")),
    Webhook("circleci", verify=CircleCI("s")),
    Webhook("buildkite", verify=Buildkite(signing="s")),
    Webhook("jenkins", verify=Jenkins("s")),
    Webhook("standard", verify=StandardWebhooks(KEY)),
    Webhook("hmac", verify=HMAC("X-Sig", encoding="base64", secret="s")),
    Webhook("bearer", verify=Bearer("s"), per_minute=1_000, origins=["*"]),
]
notices = [
    ObjectNotices("objects", changes=["created", "removed"]),
    ObjectNotices("sns", verify=SNS("arn:aws:sns:eu-west-1:1:t")),
    ObjectNotices("google", verify=GooglePush("https://here", "a@b")),
]
fuzzed = Pipeline(
    "fuzzed", [add, double], on=[open_hook, *signed, *notices, CloudEvents(params={"factor": "data.factor"})]
)
gated = Pipeline("gated", [add, double], gates={("add", "double"): approved(by="leads")})
follows = Pipeline("follows", [add], on=[Approval(pipeline="gated")])
broken = Pipeline("broken", [breaks])
