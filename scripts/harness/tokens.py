"""HS256 tokens as the frontend mints them (RFC 7515, RFC 7519)."""

import base64
import hashlib
import hmac
import json
import time

LIFETIME_SECONDS = 3600


def mint(secret: str) -> str:
    """A token of the demo user, valid for an hour."""
    now = int(time.time())
    claims = {"user": {"username": "gonzalo"}, "iat": now, "exp": now + LIFETIME_SECONDS}
    parts = ({"typ": "JWT", "alg": "HS256"}, claims)
    signed = ".".join(encoded(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{signed}.{encoded(hmac.digest(secret.encode(), signed.encode(), hashlib.sha256))}"


def forge(secret: str) -> str:
    """The same with an invalid signature: its first character is another one."""
    header, claims, signature = mint(secret).split(".")
    return f"{header}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
