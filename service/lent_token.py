"""The token that stages in other processes are lent: good for the models, and for nothing else.

It is made of the API token, so every daemon that has that one knows it, and another API token ends it.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode

from service.callers import BEGINS

PURPOSE = b"tidemill: what stages in other processes are lent, version 1"


def lent_token(api_token: str) -> str:
    """It has the form of our other tokens, by which it is hidden wherever text is kept."""
    return BEGINS + urlsafe_b64encode(hmac.digest(api_token.encode(), PURPOSE, hashlib.sha256)).decode().rstrip("=")
