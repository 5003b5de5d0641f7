"""Python `websockets` against a server, one connection per case.

    python ws_client.py < CASES      each a line of JSON:
      {"url":...,"carrier":"query"|"header"|"subprotocol"|"cookie"|"none","token":...,"origin":...}

Each is answered by a line: {"outcome":"connected","protocol":...,"echo":bool,"code":N} (the close code) or
{"outcome":"refused","status":N,"challenge":...,"body":...}.
"""

import asyncio
import urllib.parse

import cases
import websockets
from websockets.asyncio.client import connect

TIMEOUT_S = 20
TEXT = "grüße € 🚪"
PARTS = [b"\x00", b"\xff", b"\x01"]  # a message in three fragments, which comes back whole


async def answer(case: dict) -> dict:
    url, token = case["url"], case.get("token")
    options = {"proxy": None, "open_timeout": TIMEOUT_S}
    match case["carrier"]:
        case "query":
            url += "?" + urllib.parse.urlencode({"token": token})
        case "header":
            options["additional_headers"] = {"Authorization": f"Bearer {token}"}
        case "subprotocol":
            options["subprotocols"] = ["gatecrash", f"bearer.{token}"]
        case "cookie":
            options |= {"additional_headers": {"Cookie": f"token={token}"}, "origin": case["origin"]}
    try:
        async with connect(url, **options) as socket:
            await socket.send(TEXT)
            text = await socket.recv()
            await socket.send(PARTS)
            binary = await socket.recv()
            await (await socket.ping())
        echo = text == TEXT and binary == b"".join(PARTS)
        return {"outcome": "connected", "protocol": socket.subprotocol, "echo": echo, "code": socket.close_code}
    except websockets.exceptions.InvalidStatus as refusal:
        response = refusal.response
        challenge = response.headers.get("WWW-Authenticate")
        body = response.body.decode()
        return {"outcome": "refused", "status": response.status_code, "challenge": challenge, "body": body}


async def main() -> list[dict]:
    return await asyncio.gather(*(answer(case) for case in cases.read()))


cases.print_all(asyncio.run(main()))
