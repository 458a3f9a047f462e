"""One line for each thing `doctor` looked at."""

from __future__ import annotations

from rich.text import Text

from service.checkup.finding import Finding
from service.cli.output import coloured, console, plain


def print_finding(finding: Finding) -> None:
    """Verdict, what it is about, what was found, and what to do."""
    verdict = coloured(finding.verdict)
    verdict.pad_right(7 - len(verdict.plain))
    advice = f": {plain(finding.advice)}" if finding.advice else ""
    console().print(Text.assemble(verdict, f"  {finding.about:<9}  {plain(finding.says)}{advice}"))
