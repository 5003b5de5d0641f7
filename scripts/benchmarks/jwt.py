"""An HS256 token as the original's frontend makes them (RFC 7515, RFC 7519)."""

import base64
import hashlib
import hmac
import json
import time

LIFETIME_SECONDS = 3600


def mint(secret: str) -> str:
    now = int(time.time())
    claims = {"user": {"username": "gonzalo"}, "iat": now, "exp": now + LIFETIME_SECONDS}
    signed = ".".join(_text(json.dumps(part, separators=(",", ":")).encode()) for part in (HEADER, claims))
    return f"{signed}.{_text(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


HEADER = {"typ": "JWT", "alg": "HS256"}


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
