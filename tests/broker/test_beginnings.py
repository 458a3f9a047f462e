"""Where triggers begin on a topic that they share, that comes later, or that is made anew: each where it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.broker.seam import (
    RecordingInbox,
    access_to,
    create_topic,
    listener_of,
    listening,
    produce,
    recreate_topic,
    told,
)
from triggers import KafkaArrivals, KafkaBatches
from triggers.base import Arrival, ListenerState, Position, Receipt

NUMBERS = [b"%d" % number for number in range(100)]


class Heard(RecordingInbox):
    """Remembers who was offered what, repeats and all."""

    def __init__(self) -> None:
        super().__init__()
        self.offered: dict[str, list[str]] = {}

    async def accept(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        receipts = await super().accept(arrivals, positions)
        for arrival in arrivals:
            for offer in arrival.offers:
                self.offered.setdefault(offer.trigger, []).append(arrival.event.id)
        return receipts


def places(*offsets: int, life: str = "") -> list[str]:
    return [f"0/{offset}{life}" for offset in offsets]


async def read_all(inbox: Heard, end: int) -> None:
    """Wait until a partition was read up to an offset."""
    await inbox.until(lambda: str(end) in inbox.offsets().values())


async def test_each_of_two_triggers_begins_where_it_says(kafka: str, topic: str) -> None:
    inbox, access = Heard(), access_to(kafka)
    triggers = [KafkaArrivals(topic, name="all"), KafkaArrivals(topic, name="new", start="latest")]
    await produce(kafka, topic, NUMBERS[:5])
    async with listening(listener_of(triggers, access, inbox)):
        await read_all(inbox, 5)
        await produce(kafka, topic, NUMBERS[5:8])
        await read_all(inbox, 8)
    assert inbox.offered == {"all": places(*range(8)), "new": places(5, 6, 7)}


async def test_a_trigger_that_comes_later_begins_where_it_says_and_the_others_hear_nothing_twice(
    kafka: str, topic: str
) -> None:
    inbox, access = Heard(), access_to(kafka)
    first = KafkaArrivals(topic, name="first")
    await produce(kafka, topic, NUMBERS[:5])
    async with listening(listener_of([first], access, inbox)):
        await read_all(inbox, 5)
    await produce(kafka, topic, NUMBERS[5:8])
    later = [KafkaArrivals(topic, name="later"), KafkaArrivals(topic, name="new", start="latest")]
    async with listening(listener_of([first, *later], access, inbox)):
        await read_all(inbox, 8)
        await produce(kafka, topic, NUMBERS[8:10])
        await read_all(inbox, 10)
    async with listening(listener_of([first, *later], access, inbox)):
        await produce(kafka, topic, NUMBERS[10:11])
        await read_all(inbox, 11)
    assert inbox.offered == {"first": places(*range(11)), "later": places(*range(11)), "new": places(8, 9, 10)}


async def test_all_of_a_topic_that_is_created_later_is_new_to_those_who_wait_for_it(kafka: str, topic: str) -> None:
    inbox, access, late = Heard(), access_to(kafka), f"{topic}-later"
    triggers = [KafkaArrivals(late, name="waits", start="latest"), KafkaArrivals(topic, name="here")]
    async with listening(listener_of(triggers, access, inbox)) as task:
        await inbox.until(lambda: any(key == late for _, key in inbox.stored))
        task.cancel()
    await create_topic(kafka, late)
    await produce(kafka, late, NUMBERS[:5])
    triggers.append(KafkaArrivals(late, name="came_after", start="latest"))
    async with listening(listener_of(triggers, access, inbox)):
        await read_all(inbox, 5)
        await produce(kafka, late, NUMBERS[5:6])
        await read_all(inbox, 6)
    assert inbox.offered == {"waits": places(*range(6)), "came_after": places(5)}


async def test_a_topic_that_is_made_anew_is_read_from_its_start_and_its_records_are_others(
    kafka: str, topic: str
) -> None:
    """Once while nobody listens, and with more records than the old one had; once under the eyes of a listener."""
    inbox, access = Heard(), access_to(kafka)
    triggers = [KafkaArrivals(topic, name="all"), KafkaArrivals(topic, name="new", start="latest")]
    await produce(kafka, topic, NUMBERS[:5])
    async with listening(listener_of(triggers, access, inbox)):
        await read_all(inbox, 5)
    await recreate_topic(kafka, topic)
    await produce(kafka, topic, NUMBERS[:7])
    listener = listener_of(triggers, access, inbox)
    async with listening(listener):
        await inbox.until(lambda: inbox.offered.get("new", []) == places(*range(7), life="~1"))
        await recreate_topic(kafka, topic)
        await produce(kafka, topic, NUMBERS[:3])
        await inbox.until(lambda: inbox.offered["new"][7:] == places(0, 1, 2, life="~2"))
        await told(listener, ListenerState.LISTENING)
    assert inbox.offered["all"] == [*places(*range(5)), *inbox.offered["new"]]
    assert inbox.repeats == 0


async def test_members_that_begin_together_at_the_latest_all_begin_at_the_end(
    kafka: str, make_topic: Callable[..., str]
) -> None:
    """A partition that a member is given after another has begun is no partition that came later."""
    inbox, access, topic = RecordingInbox(), access_to(kafka), make_topic(4)
    for partition in range(4):
        await produce(kafka, topic, [b"old"] * 3, partition=partition)
    trigger = KafkaBatches(topic, max_wait_s=0.1, start="latest")
    async with (
        listening(listener_of([trigger], access, inbox)),
        listening(listener_of([trigger], access, inbox)),
    ):
        await inbox.until(lambda: len(inbox.stored) == 4)
        for partition in range(4):
            await produce(kafka, topic, [b"new"], partition=partition)
        await inbox.until(lambda: len(inbox.ranges()) == 4)
    assert {(one.first, one.last) for one in inbox.ranges()} == {(3, 3)}
