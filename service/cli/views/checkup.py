"""One line for each thing `doctor` looked at."""

from __future__ import annotations

from rich.console import Console

from service.checkup.finding import Finding
from service.cli.output import coloured, print_grid


def print_finding(finding: Finding, out: Console | None = None) -> None:
    """Verdict, what it is about, what was found, and what to do."""
    told = f"{finding.says}: {finding.advice}" if finding.advice else finding.says
    print_grid([(coloured(finding.verdict), finding.about, told)], widths=(7, 9), out=out)
