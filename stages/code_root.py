"""Where pipelines are imported from, besides the installed packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Names the folder of a version's kept code, in processes that run that version instead of what lies in the project.
CODE_VARIABLE = "TIDEMILL_CODE"


def import_from(folder: Path) -> str:
    """Let modules of `folder` be imported, unless this process runs kept code: it must not see the project of today.

    The answer is where they come from.
    """
    root = os.environ.get(CODE_VARIABLE) or str(folder)
    if root not in sys.path:
        sys.path.insert(0, root)
    return root
