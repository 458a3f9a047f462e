"""The token that stages in other processes are lent: good for the models, and for nothing else.

It is made of the API token, so every daemon that has that one knows it, and another API token ends it. Where there is
only a provider who says who is who, it is made of the key that all daemons of the installation know.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode

from service.callers import BEGINS

PURPOSE = b"tidemill: what stages in other processes are lent, version 1"


def lent_token(secret: bytes) -> str:
    """What is made of a secret: it has the form of our other tokens, by which it is hidden wherever text is kept."""
    return BEGINS + urlsafe_b64encode(hmac.digest(secret, PURPOSE, hashlib.sha256)).decode().rstrip("=")
