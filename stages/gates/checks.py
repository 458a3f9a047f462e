"""The gate that runs checks, or reads the report of checks a stage has already made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.gates.base import FunctionGate, GateContext, GateResult, GateState, as_gate
from stages.gates.evaluate import ask


@dataclass(frozen=True)
class ChecksPass:
    """Passes when every check does; the report of all of them is the evidence."""

    name: str
    checks: tuple[FunctionGate, ...]
    needs_output: bool = True

    async def check(self, evidence: GateContext) -> GateResult:
        """See `Gate`."""
        if not self.checks:
            return _from_report(evidence)
        report = []
        for one in self.checks:
            found = await ask(one, evidence)
            passed = found.state is GateState.PASSED
            report.append({"name": one.name, "passed": passed, "reason": found.reason, "evidence": found.evidence})
        return _result(report)


def tests_pass(*checks: Callable[..., Any], name: str = "tests_pass") -> ChecksPass:  # noqa: PT028
    """Run named check functions over the source's output; all are run, and the report is kept.

    A check is a function as any gate: it returns a bool or a `GateResult`, or asserts. Without checks the output's own
    report decides: a mapping or object with `passed` (a bool), or `checks` (each with `name` and `passed`), or both.
    """
    return ChecksPass(name, tuple(_check(one) for one in checks))


# Or pytest would take it for a test wherever it is imported.
tests_pass.__test__ = False  # type: ignore[attr-defined]


def _check(given: Any) -> FunctionGate:
    gate = as_gate(given)
    if not isinstance(gate, FunctionGate):
        raise TypeError(f"tests_pass takes functions; put the gate {gate.name!r} on the arrow by itself")
    return gate


def _from_report(evidence: GateContext) -> GateResult:
    passed, checks = _get(evidence.output, "passed"), _get(evidence.output, "checks")
    if isinstance(checks, Mapping):
        checks = [{"name": name, "passed": one} for name, one in checks.items()]
    report = [_entry(one) for one in checks] if isinstance(checks, Sequence) else []
    if not isinstance(passed, bool) and not report:
        return GateResult.of(
            False,
            f"the output of stage {evidence.source_stage!r} has neither `passed` nor `checks`: return a report that "
            f"does, or name check functions in tests_pass(...)",
        )
    result = _result(report)
    if passed is False and result.state is GateState.PASSED:
        return GateResult.of(False, "the report says it has not passed", result.evidence)
    return result


def _entry(check: Any) -> dict[str, Any]:
    """One check of a report, with whatever else it says (its value and bound)."""
    told = check.model_dump() if hasattr(check, "model_dump") else dict(_attributes(check))
    return told | {"name": str(_get(check, "name")), "passed": _get(check, "passed") is True}


def _attributes(check: Any) -> Mapping[str, Any]:
    return check if isinstance(check, Mapping) else getattr(check, "__dict__", {})


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _result(report: Sequence[Mapping[str, Any]]) -> GateResult:
    failed = ", ".join(_short(one) for one in report if not one["passed"])
    return GateResult.of(not failed, f"failed: {failed}" if failed else "", {"checks": list(report)})


def _short(check: Mapping[str, Any]) -> str:
    reason = str(check.get("reason") or "")
    return f"{check['name']} ({reason.splitlines()[0]})" if reason else str(check["name"])
