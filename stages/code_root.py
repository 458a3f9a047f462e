"""Where pipelines are imported from, besides the installed packages."""

from __future__ import annotations

import os
from pathlib import Path

# Names the folder of a version's kept code, in processes that run that version instead of what lies in the project.
CODE_VARIABLE = "TIDEMILL_CODE"


def code_root(folder: Path) -> str:
    """`folder`, unless this process runs kept code: it must not see the project as it is today."""
    return os.environ.get(CODE_VARIABLE) or str(folder)
