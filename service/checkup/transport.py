"""Whether anything goes to other machines in clear."""

from __future__ import annotations

from service.catalogue import Catalogue
from service.checkup.finding import Finding, fine, warning
from service.in_clear import in_clear
from service.settings import Settings

ADVICE = "or name the host in TIDEMILL_PLAIN_HOSTS where that is meant"


def check(settings: Settings, catalogue: Catalogue) -> list[Finding]:
    """One finding for each address."""
    told = in_clear(settings, [binding.trigger for binding in catalogue.bindings()])
    return [warning("transport", one, ADVICE) for one in told] or [fine("transport", "nothing leaves in clear")]
