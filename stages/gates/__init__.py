"""Gates: checks on the arrows of a pipeline. Any plain function can be one; these are ready-made."""

from stages.gates.approval import approved
from stages.gates.base import Gate, GateContext, GateResult, GateState
from stages.gates.checks import tests_pass
from stages.gates.metrics import metrics_above, metrics_below
from stages.gates.production import production
from stages.gates.rows import fresh, row_count
from stages.gates.schema import schema_valid

__all__ = [
    "Gate",
    "GateContext",
    "GateResult",
    "GateState",
    "approved",
    "fresh",
    "metrics_above",
    "metrics_below",
    "production",
    "row_count",
    "schema_valid",
    "tests_pass",
]
