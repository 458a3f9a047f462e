"""How daemons are brought to each point. An act lasts until what it asked for is acknowledged, or to be seen."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.db.writing import rows
from tests.fault.matrix.cell import Acting, Recipe
from tests.fault.matrix.pipelines import MODEL
from tests.fault.matrix.versions import (
    in_the_middle_of_a_list,
    listed,
    of_a_lost_version,
    of_an_earlier_version,
    on_its_version,
)

_BY = {"by": "kim"}
_DAY = "2026-01-0"
_TOKEN = "matrix-0123456789abcdef"
_BEARER = {"Authorization": f"Bearer {_TOKEN}"}


async def _flow(acting: Acting) -> None:
    """Two events, the second told when the first is done."""
    for event_id in ("1", "2"):
        await acting.tell("flow", event_id)
        await acting.until("select count(*) >= $1 from runs where state = 'succeeded'", int(event_id))


async def _worked(acting: Acting) -> None:
    await acting.tell("worked")


async def _chatty(acting: Acting) -> None:
    await acting.tell("chatty")
    await acting.until("select count(*) > 0 from stage_log_files")


async def _recorded(acting: Acting) -> None:
    await _records(acting, "recorded", b'{"n": 1}')


async def _framed(acting: Acting) -> None:
    """By the schema that the registry has: the first message of it, with its first field."""
    await _records(acting, "framed", b"\0\0\0\0\1" + b"\0" + b"\x0a\x02NZ")


async def _lettered(acting: Acting) -> None:
    """A record that is no JSON, until its copy is sent and ticked off."""
    await _records(acting, "lettered", b"{", "select count(*) > 0 from fates where pipeline = $1 and fate = 'dead'")
    await acting.until("select not exists (select from positions where scope like '%:dead:%' and value <> '')")


async def _records(
    acting: Acting, pipeline: str, value: bytes, taken: str = "select count(*) > 0 from runs where pipeline = $1"
) -> None:
    """A record that the broker has; where it has lost what it had, another."""
    for number in range(1000):
        producer = AIOKafkaProducer(bootstrap_servers=acting.ground.broker.servers, request_timeout_ms=2000)
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(3):
                await producer.start()
                await producer.send_and_wait(acting.topic, value)
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(1):
                await producer.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 + number):
                await acting.until(taken, pipeline)
                return


async def _streamed(acting: Acting) -> None:
    """Records, until the listener has told the broker how far it is."""
    for number in range(100):
        await _recorded(acting)
        if "offsets.commit" in acting.points():
            return
        await asyncio.sleep(0.1 + number / 100)


async def _landed(acting: Acting) -> None:
    part, whole = acting.folder / "landing" / ".1.csv.part", acting.folder / "landing" / "1.csv"
    part.write_text("1")
    part.rename(whole)
    await acting.until("select count(*) > 0 from runs where pipeline = 'landed'")


async def _ticked(acting: Acting) -> None:
    await acting.until("select count(*) > 1 from runs where pipeline = 'ticked' and state = 'succeeded'")


async def _decided(acting: Acting) -> None:
    await acting.tell("decided")
    run = await acting.run_of("decided", "waiting", "succeeded")
    await acting.call("POST", f"/api/v1/runs/{run}/gates/make-publish/approve", _BY, expect=[409])
    await acting.until("select count(*) > 0 from runs where pipeline = 'followed'")


async def _linked(acting: Acting) -> None:
    """Decided over a one-time link."""
    await acting.tell("decided")
    run = await acting.run_of("decided", "waiting", "succeeded")
    link = {"for": "kim", "decision": "approve", "by": "ann"}
    answer = await acting.call("POST", f"/api/v1/runs/{run}/gates/make-publish/links", link, expect=[201])
    path = re.sub(r"^https?://[^/]+", "", answer.json()["url"])
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    await acting.call("POST", path, content="confirm=approved&reason=", headers=form, expect=[410])


async def _expired(acting: Acting) -> None:
    await acting.tell("expired")
    await acting.run_of("expired", "failed")


async def _cancelled(acting: Acting) -> None:
    await acting.tell("endless")
    run = await acting.run_of("endless", "running", "queued", "cancelled")
    await acting.call("POST", f"/api/v1/runs/{run}/cancel", _BY)
    await acting.run_of("endless", "cancelled")


async def _resumed(acting: Acting) -> None:
    await acting.tell("broken")
    run = await acting.run_of("broken", "failed", "succeeded")
    (acting.folder / "mended").touch()
    # Whoever dies after the commit has resumed it, and nobody heard.
    await acting.call("POST", f"/api/v1/runs/{run}/resume", _BY, expect=[409])
    await acting.run_of("broken", "succeeded")


async def _abandoned(acting: Acting) -> None:
    await acting.tell("broken")
    run = await acting.run_of("broken", "failed")
    await acting.call("POST", f"/api/v1/runs/{run}/abandon", {**_BY, "reason": "no use"})
    await acting.until("select count(*) > 0 from runs where abandoned_at is not null")


async def _mapped(acting: Acting) -> None:
    """Resumed with other parameters: results of items that were made with the earlier ones are set aside."""
    await acting.tell("mapped")
    run = await acting.run_of("mapped", "failed", "succeeded")
    (acting.folder / "mended").touch()
    await acting.call("POST", f"/api/v1/runs/{run}/resume", {**_BY, "params": {"k": 2}}, expect=[409])
    await acting.run_of("mapped", "succeeded")


async def _paused(acting: Acting) -> None:
    await acting.call("POST", "/api/v1/pauses", {**_BY, "what": "flow", "reason": "to see"})
    await acting.tell("flow")
    await acting.call("POST", "/api/v1/pauses/lift", {**_BY, "what": "flow"}, expect=[409])


async def rows_or_none(acting: Acting, query: str) -> bool:
    """Whether a query finds something; also where the server does not answer."""
    with contextlib.suppress(Exception):
        return bool(await rows(acting.dsn, query))
    return True


async def _keyed(acting: Acting) -> None:
    """A request with a key, which is told again until it is answered; and one that is refused."""
    pause = {**_BY, "what": "flow", "reason": "to see"}
    for key, path, body in (("a", "/api/v1/pauses", pause), ("b", "/api/v1/runs/9999/cancel", _BY)):
        await acting.call("POST", path, body, headers={"Idempotency-Key": f"matrix-{key}"}, expect=[404])


async def _replayed(acting: Acting) -> None:
    await acting.tell("flow")
    await acting.run_of("flow", "succeeded")
    asked = {**_BY, "event": "1", "pipeline": "flow", "effects": True, "reuse": False, "id": "again"}
    await acting.call("POST", "/api/v1/replays", asked)


async def _backfilled(acting: Acting) -> None:
    asked = {**_BY, "trigger": "daily/nightly", "from": f"{_DAY}1", "to": f"{_DAY}3", "id": "three"}
    await acting.call("POST", "/api/v1/backfills", asked)
    await acting.until("select count(*) > 0 from backfills where state = 'succeeded'")


async def _halted(acting: Acting) -> None:
    """A backfill that is stopped, before or after it has come to its end."""
    asked = {**_BY, "trigger": "daily/nightly", "from": "2020-01-01", "to": "2020-12-31", "id": "many"}
    backfill = (await acting.call("POST", "/api/v1/backfills", asked)).json()["id"]
    await acting.call("DELETE", f"/api/v1/backfills/{backfill}?by=kim")
    await acting.until("select count(*) > 0 from backfills where state <> 'running'")


async def _tokens(acting: Acting) -> None:
    """One is made, used, and revoked, and sessions are ended. What was made and never told is no use to anybody:
    then it is another.
    """
    for number in range(100):
        asked = {**_BY, "name": f"ci-{number}", "roles": ["viewer"]}
        answer = await acting.call("POST", "/api/v1/tokens", asked, expect=[409], headers=_BEARER)
        if answer.status_code == 201:
            break
    used = {"Authorization": f"Bearer {answer.json()['token']}"}
    # Until that is on record: who dies forgets the last moment.
    for asked in range(1, 1000):
        await acting.call("GET", "/api/v1/runs", headers=used, expect=[401])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(asked):
                await acting.until("select count(*) > 0 from api_tokens where last_used_at is not null")
                break
    await acting.call("DELETE", f"/api/v1/tokens/ci-{number}", expect=[404], headers=_BEARER)
    await acting.call("DELETE", "/api/v1/sessions/kim", headers=_BEARER)


async def _caused(acting: Acting) -> None:
    await acting.tell("parent", "1", 4)
    await acting.run_of("child", "succeeded")


async def _told(acting: Acting) -> None:
    await acting.tell("teller")
    await acting.run_of("told", "succeeded")


async def _models(acting: Acting) -> None:
    """A model goes into production and is asked, until that is on record: who dies forgets the last second."""
    await acting.tell("models")
    await acting.run_of("models", "succeeded")
    for asked in range(1, 1000):
        await acting.call("POST", f"/models/{MODEL}/predict", {})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1 + asked):
                await acting.until("select count(*) > 0 from predictions")
                return


async def _cleaned(acting: Acting) -> None:
    """Nothing is kept: the run of before goes, with its event and its body."""
    wanted = {**_BY, "dry_run": False, "days": 0, "events_days": 0}
    while await rows_or_none(acting, "select 1 from runs where pipeline = 'flow'"):
        await acting.call("POST", "/api/v1/retention", wanted)
    acting.acknowledged.clear()


async def _once_before(acting: Acting) -> None:
    """An event that was run by a daemon that left."""
    one = await acting.daemon()
    await acting.tell("flow")
    await acting.call("POST", "/hooks/matrix", {"n": 1}, headers={"Idempotency-Key": "n"})
    await acting.until("select count(*) > 1 from runs where state = 'succeeded'")
    one.signal(signal.SIGTERM)
    await one.ended()
    acting.urls.clear()


async def _orphaned(acting: Acting) -> None:
    """A run in the middle of a stage, and its daemon dead."""
    one = await acting.daemon()
    await acting.tell("endless")
    while not (acting.folder / "held").exists():
        await asyncio.sleep(0.01)
    await acting.until("select count(*) > 0 from attempts where state = 'running'")
    one.signal(signal.SIGKILL)
    await one.ended()
    (acting.folder / "released").touch()
    acting.urls.clear()


async def _adopted(acting: Acting) -> None:
    await acting.run_of("endless", "succeeded")


async def _left(acting: Acting) -> None:
    """The first daemon is told to leave while it has a run."""
    await acting.tell("endless")
    await acting.run_of("endless", "running")
    acting.living[0].signal(signal.SIGTERM)
    await acting.until("select count(*) > 0 from daemons where state <> 'alive'")
    (acting.folder / "released").touch()
    await acting.run_of("endless", "succeeded")


async def _cut_off(acting: Acting) -> None:
    """The connection is cut while a run is there: whose it is is asked."""
    await acting.tell("endless")
    await acting.run_of("endless", "running")
    await acting.ground.cut(acting.dsn)
    (acting.folder / "released").touch()
    await acting.run_of("endless", "succeeded")


async def _packaged(acting: Acting) -> None:
    await acting.tell("packaged")


async def _of_long_ago(acting: Acting) -> None:
    """A day of the run log that is long over."""
    await rows(acting.dsn, "drop table run_log_before")
    await rows(acting.dsn, "select make_run_log_part('20260101'::date)")


async def _untold(acting: Acting) -> None:
    """How it went is to be told to an address where nobody listens."""
    await acting.tell("flow")
    await acting.until("select count(*) > 0 from sinks where note <> ''")


RECIPES = (
    Recipe("flow", ["flow"], _flow, artifacts=True, kafka=True),
    Recipe("worked", ["worked"], _worked),
    Recipe("chatty", ["chatty"], _chatty, artifacts=True, ends=["succeeded"]),
    Recipe("recorded", ["recorded"], _recorded, kafka=True, artifacts=True),
    Recipe("framed", ["framed"], _framed, kafka=True, artifacts=True),
    Recipe("lettered", ["lettered"], _lettered, kafka=True),
    Recipe("streamed", ["recorded"], _streamed, kafka=True, artifacts=True),
    Recipe(
        "tokens", ["flow"], _tokens, variables=[("TIDEMILL_API_TOKEN", _TOKEN), ("TIDEMILL_RETENTION_AUDIT_DAYS", "1")]
    ),
    Recipe("landed", ["landed"], _landed, artifacts=True),
    Recipe("ticked", ["ticked"], _ticked),
    Recipe("decided", ["decided", "followed"], _decided, artifacts=True),
    Recipe("linked", ["decided"], _linked, artifacts=True),
    Recipe("expired", ["expired"], _expired, ends=["failed"], artifacts=True),
    Recipe("cancelled", ["endless"], _cancelled, ends=["cancelled"]),
    Recipe("resumed", ["broken"], _resumed),
    Recipe("abandoned", ["broken"], _abandoned, ends=["failed"]),
    Recipe("mapped", ["mapped"], _mapped),
    Recipe("paused", ["flow"], _paused, artifacts=True),
    Recipe("keyed", ["flow"], _keyed),
    Recipe("replayed", ["flow"], _replayed, artifacts=True),
    Recipe("backfilled", ["daily"], _backfilled),
    Recipe("halted", ["daily"], _halted),
    Recipe("caused", ["parent", "child"], _caused),
    Recipe("told", ["teller", "told"], _told),
    Recipe("models", ["models"], _models, artifacts=True),
    Recipe("cleaned", ["flow"], _cleaned, before=_once_before, artifacts=True),
    Recipe("adopted", ["endless"], _adopted, before=_orphaned),
    Recipe("left", ["endless"], _left),
    Recipe("versions", ["line:line"], on_its_version, before=of_an_earlier_version, artifacts=True, below=True),
    Recipe(
        name="lost version",
        pipelines=["line:line"],
        act=on_its_version,
        before=of_a_lost_version,
        ends=["succeeded", "failed"],
        artifacts=True,
    ),
    Recipe("other code", ["line:line"], listed, before=in_the_middle_of_a_list),
    Recipe("packaged", ["packaged"], _packaged),
    Recipe(
        name="untold",
        pipelines=["flow"],
        act=_untold,
        variables=[("TIDEMILL_LIFECYCLE_URL", "http://127.0.0.1:9")],
        artifacts=True,
    ),
    Recipe("days", ["flow"], _flow, before=_of_long_ago, artifacts=True),
    Recipe("cut off", ["endless"], _cut_off),
    Recipe("new", ["flow"], _flow, empty=True, artifacts=True, variables=[("TIDEMILL_POOLS", "gpu=1")]),
)
