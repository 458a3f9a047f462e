"""No statement reads a table of history from end to end, whoever asks: a new file is looked at unnamed."""

from __future__ import annotations

from importlib import resources

from service.db.connect import connect
from tests.plans.reading import read_whole
from tests.plans.test_reading_statements import ASKED

# Filled by `ten_million`. What else there is does not grow with runs, or is taken for empty there.
HISTORY = {"events", "runs", "fates", "attempts", "attempt_costs", "gates", "run_log_before"}
# Asked by people now and then, to look at all there is.
WHOLE = {
    "having_tags": "never: it is only asked for its plan",
    "from_elsewhere": "one row at the end of the log, when a daemon starts",
    "lists_taken": "once a sweep of the artifact store",
    "referred_to": "once a sweep of the artifact store",
}


def everything() -> list[str]:
    """The names of all statements but those of the ledger, which `tidemill doctor` counts all rows with."""
    names = sorted(one.name for one in (resources.files("service.db") / "sql").iterdir())
    return [name.removesuffix(".sql") for name in names if not name.startswith("ledger_")]


async def test_no_statement_reads_the_history_of_ten_million_runs_from_end_to_end(history: str) -> None:
    connection = await connect(history, by_index=True)
    read = {name: await read_whole(connection, name) & HISTORY for name in everything() if name not in ASKED}
    await connection.close()
    assert {name for name, tables in read.items() if tables} == set(WHOLE)
