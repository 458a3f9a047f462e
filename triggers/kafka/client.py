"""Kafka clients as the listeners need them: built from `KafkaAccess`, with every wait bounded, and closed for sure."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    InvalidTopicError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.protocol.metadata import MetadataRequest

from triggers.base import Binding, KafkaAccess, Surroundings
from triggers.errors import InvalidTrigger, SourceUnavailable
from triggers.kafka.apart import BROKEN
from triggers.kafka.topics import NO_ID, TopicsRequest
from triggers.kafka.trouble import addresses, diagnose, why
from triggers.ranges import Isolation

logger = logging.getLogger(__name__)

# What a broker that is away, restarting or mid-election makes of a call. Everything else is a bug of ours.
TROUBLE = (KafkaError, OSError, TimeoutError, SourceUnavailable)

# How a broker says that a topic is not there, and not only not there now.
MISSING = (UnknownTopicOrPartitionError, InvalidTopicError)

_FETCH_BYTES = 16 * 1024 * 1024
_STOP_S = 3.0
_EMBEDDED_PARTITIONS = 4


def access_of(surroundings: Surroundings, bindings: Sequence[Binding]) -> KafkaAccess:
    """How to reach the broker. Raises `InvalidTrigger` when the daemon has none."""
    if surroundings.kafka is None:
        names = ", ".join(binding.name for binding in bindings)
        raise InvalidTrigger(f"{names}: there is no Kafka to listen to: set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS")
    return surroundings.kafka


def timing(access: KafkaAccess) -> Mapping[str, int]:
    """How patient a client is. A join to the embedded broker takes half the session timeout, and at least a second."""
    if access.embedded:
        return {"session_timeout_ms": 2_000, "heartbeat_interval_ms": 500, "request_timeout_ms": 5_000}
    session_ms = int(access.session_s * 1000)
    return {"session_timeout_ms": session_ms, "heartbeat_interval_ms": session_ms // 4, "request_timeout_ms": 15_000}


def _connection(access: KafkaAccess) -> dict[str, Any]:
    return {
        "bootstrap_servers": access.bootstrap_servers,
        "client_id": "tidemill",
        "request_timeout_ms": timing(access)["request_timeout_ms"],
        **access.options,
    }


def reading_consumer(
    access: KafkaAccess, group: str | None = None, isolation: Isolation = "read_committed"
) -> AIOKafkaConsumer:
    """A consumer that never decides for itself where to read: no automatic commit, no automatic reset.

    What one answer may hold bounds its memory. Records of aborted transactions are seen only by
    one that is told so.
    """
    membership: Mapping[str, Any] = {"group_id": group, **timing(access)} if group else {}
    consumer = AIOKafkaConsumer(
        **{
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": isolation,
            "fetch_max_bytes": _FETCH_BYTES,
            "fetch_max_wait_ms": 500 if group else 100,
            "metadata_max_age_ms": 60_000,
            # A member that waits for the inbox stays one, however long that takes: what is stuck we find ourselves.
            "max_poll_interval_ms": 2**31 - 1,
            **membership,
            **_connection(access),
        }
    )
    _connects_whole(consumer._client)
    return consumer


def writing_producer(access: KafkaAccess, *, largest_bytes: int = 1024 * 1024) -> AIOKafkaProducer:
    """A producer of what may be written twice: the embedded broker knows no idempotent producers."""
    producer = AIOKafkaProducer(acks="all", linger_ms=20, max_request_size=largest_bytes, **_connection(access))
    _connects_whole(producer.client)
    return producer


def _connects_whole(client: Any) -> None:
    """Have a client that is cancelled while it connects finish that first, within a bound, so that it can be closed.

    It keeps the connection to the first broker to itself until that has answered. Cancelled in between it would leave
    behind an open socket, and the task that reads from it.
    """
    client.bootstrap = partial(_finish, client.bootstrap)
    client._get_conn = partial(_that_creates_nothing, client._get_conn)


async def _that_creates_nothing(connect: Callable[..., Awaitable[Any]], node: Any, **options: Any) -> Any:
    """A connection over which asking for a topic does not create it: the library lets brokers do so, also for one that
    somebody has just deleted.
    """
    connection = await connect(node, **options)
    if connection is not None and not isinstance(connection.send, partial):
        connection.send = partial(_send, connection.send)
    return connection


def _send(send: Callable[..., Any], request: Any, *more: Any, **options: Any) -> Any:
    if isinstance(request, MetadataRequest):
        request._allow_auto_topic_creation = False
    return send(request, *more, **options)


async def _finish(bootstrap: Callable[[], Awaitable[None]]) -> None:
    failures: list[BaseException] = []

    async def connect() -> None:
        try:
            await bootstrap()
        except TROUBLE as error:
            failures.append(error)

    async with asyncio.TaskGroup() as group:
        connecting = group.create_task(connect())
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            await asyncio.wait([connecting], timeout=_STOP_S)
            raise
    if failures:
        raise failures[0]


def trouble_note(access: KafkaAccess, error: BaseException) -> str:
    """One of `TROUBLE` in words for a person."""
    if isinstance(error, SourceUnavailable):
        return str(error)
    return f"broker {access.bootstrap_servers} {why(error, access.options)}"


async def close(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer within a bound; what it did not let go of by then is taken from it. Raises nothing of Kafka's.

    `stop()` waits for a broker that may be gone, and may let a cancellation of its own tasks out (aiokafka#647).
    """
    task = asyncio.current_task()
    cancellations = task.cancelling() if task else 0
    coordinator: Any = consumer._coordinator
    if getattr(coordinator, "generation", None) == 0:
        # The embedded broker counts from 0, which the client takes for no membership, and so would not leave.
        coordinator.generation = 1
    try:
        async with asyncio.timeout(_STOP_S):
            await consumer.stop()
        return
    except (KafkaError, OSError, TimeoutError) as error:
        logger.debug("a consumer did not stop: %r", error)
    except asyncio.CancelledError:
        if task and task.cancelling() > cancellations:
            raise
    finally:
        await _free(consumer)


async def stop_joining(consumer: Any) -> None:
    """Leave a group that has named us but not answered our joining, without waiting for that. Raises nothing.

    The answer may take as long as the others need to join, and for a member that left nothing behind but its name the
    group would then wait until its session ends. A broker answers one question of a connection after the other: this
    one goes over another.
    """
    coordinator = consumer._coordinator
    if not getattr(coordinator, "_performed_join_prepare", False) or not coordinator.member_id:
        return
    coordinator._coordination_task.cancel()
    await asyncio.wait([coordinator._coordination_task], timeout=_STOP_S)
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(_STOP_S):
            leave = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
            await consumer._client.send(coordinator.coordinator_id, leave)
    coordinator.reset_generation()


async def _free(consumer: Any) -> None:
    """End the tasks and connections that an interrupted `stop()` leaves behind. Does nothing after a complete one."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    owned = [getattr(coordinator, name, None) for name in ("_coordination_task", "_heartbeat_task")]
    owned += [getattr(coordinator, "_commit_refresh_task", None), getattr(fetcher, "_fetch_task", None)]
    tasks = [task for task in (*owned, *getattr(fetcher, "_pending_tasks", ())) if task and not task.done()]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_STOP_S)
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(_STOP_S):
            await consumer._client.close()


@dataclass(frozen=True, slots=True)
class Sight:
    """What a broker said: which cluster it is, and of each topic asked for its partitions, or why there are none.

    `ids` are those of the topics, where the broker tells them: one that was made anew has another.
    """

    cluster: str
    partitions: Mapping[str, frozenset[int]]
    absent: Mapping[str, type[KafkaError]]
    ids: Mapping[str, str] = field(default_factory=dict)


class BrokerLink:
    """A connection beside a consumer's own, for asking which cluster answers and what topics it has.

    Beside, because a broker answers the requests of one connection in order: behind a fetch that waits for records
    a question would wait too.
    """

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._answer_s = timing(access)["request_timeout_ms"] / 1000
        self._client = AIOKafkaClient(**_connection(access))
        _connects_whole(self._client)

    async def open(self) -> None:
        """Connect. Raises one of `TROUBLE`, which says what is in the way, and is closed then."""
        try:
            async with asyncio.timeout(self._answer_s):
                await self._client.bootstrap()
            if not self._client.cluster.brokers():
                raise SourceUnavailable(f"broker {self._access.bootstrap_servers} knows of no brokers")
        except TROUBLE as error:
            await self._client.close()
            # A token that was refused may be renewed by now.
            forget = getattr(self._access.options.get("sasl_oauth_token_provider"), "forget", None)
            if forget is not None:
                forget()
            # What took so long would take as long again.
            told = "" if isinstance(error, TimeoutError) else await diagnose(self._access)
            raise SourceUnavailable(told) if told else error from error
        except BaseException:
            await self._client.close()
            raise

    async def close(self) -> None:
        """Disconnect. Safe to call twice, and on one that was never opened."""
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._client.close()

    async def look(self, topics: Iterable[str]) -> Sight:
        """Ask which cluster answers and which of `topics` it has. Creates none. Raises one of `TROUBLE`."""
        async with asyncio.timeout(self._answer_s):
            answer = (await self._ask(TopicsRequest(sorted(topics)))).to_object()
        found, absent, ids = {}, {}, {}
        for topic in answer["topics"]:
            if topic["error_code"]:
                absent[topic["topic"]] = for_code(topic["error_code"])
            else:
                found[topic["topic"]] = frozenset(one["partition"] for one in topic["partitions"])
                ids[topic["topic"]] = topic.get("topic_id", NO_ID).hex().replace(NO_ID.hex(), "")
        return Sight(answer.get("cluster_id") or "unnamed", found, absent, ids)

    async def _ask(self, request: TopicsRequest) -> Any:
        node = self._client.get_random_node()
        try:
            try:
                return await self._client.send(node, request)
            except KafkaConnectionError:
                # Brokers end connections that are idle, or whose login is over: the next one is a new one.
                return await self._client.send(node, request)
        except NodeNotReadyError:
            told = self._client.cluster.broker_metadata(node)
            reason = await diagnose(self._access, [(told.host, told.port)]) if told else ""
            if not reason:
                raise
            if (told.host, told.port) not in addresses(self._access.bootstrap_servers):
                reason += f"; that is the address that {self._access.bootstrap_servers} tells (advertised.listeners)"
            raise SourceUnavailable(reason) from None


async def create_topics(
    access: KafkaAccess, topics: Sequence[str], *, partitions: int = 0, settings: Mapping[str, str] | None = None
) -> None:
    """Create what is missing, with the broker's own defaults (the embedded one has none). Safe to call twice."""
    copies = 1 if access.embedded else -1
    partitions = partitions or (_EMBEDDED_PARTITIONS if access.embedded else -1)
    # The library takes -1, which leaves it to the broker, only beside a list of who holds what.
    who: dict[int, list[int]] | None = {} if -1 in (partitions, copies) else None
    wanted = [NewTopic(name, partitions, copies, who, settings) for name in topics]
    admin = AIOKafkaAdminClient(**_connection(access))
    _connects_whole(admin._client)
    try:
        async with asyncio.timeout(timing(access)["request_timeout_ms"] / 1000):
            await admin.start()
            answer = await admin.create_topics(wanted)
    finally:
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await admin.close()
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise SourceUnavailable(f"broker {access.bootstrap_servers} refuses to create topic {name!r}: {error()}")


async def newest_offsets(access: KafkaAccess, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
    """The offset that the next record of each partition will get. Raises one of `TROUBLE`.

    Read off a fetch, because not every broker answers the direct question (`end_offsets`) rightly.
    """
    consumer = reading_consumer(access)
    try:
        async with asyncio.timeout(2 * timing(access)["request_timeout_ms"] / 1000):
            await consumer.start()
            consumer.assign(partitions)
            for partition, oldest in (await consumer.beginning_offsets(partitions)).items():
                consumer.seek(partition, oldest)
            while any(consumer.highwater(partition) is None for partition in partitions):
                with contextlib.suppress(*BROKEN):
                    await consumer.getmany(timeout_ms=200, max_records=1)
            return {partition: consumer.highwater(partition) for partition in partitions}
    finally:
        await close(consumer)
