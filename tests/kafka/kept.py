"""A pipeline that writes down what it has seen, for a daemon that is started twice."""

from __future__ import annotations

import os

from stages import Event, Pipeline, stage
from triggers import KafkaArrivals


@stage
def see(event: Event) -> int:
    """Append the record's value to the file `KEPT`."""
    with open(os.environ["KEPT"], "a") as seen:
        seen.write(f"{event.data} ")
    return 1


kept = Pipeline("kept", [see], on=[KafkaArrivals("kept", value="text")])
