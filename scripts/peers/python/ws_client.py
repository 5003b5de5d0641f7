"""Python `websockets` against a server, one connection.

    python ws_client.py URL CARRIER TOKEN      CARRIER: query | header | subprotocol | none

Prints one line of JSON: {"outcome":"connected","protocol":...,"echo":bool} or {"outcome":"refused","status":N,"body":...}.
"""

import asyncio
import json
import sys
import urllib.parse

import websockets
from websockets.asyncio.client import connect


async def main(url: str, carrier: str, token: str) -> dict:
    headers, protocols = {}, None
    if carrier == "query":
        url += "?" + urllib.parse.urlencode({"token": token})
    elif carrier == "header":
        headers["Authorization"] = f"Bearer {token}"
    elif carrier == "subprotocol":
        protocols = ["gatecrash", f"bearer.{token}"]
    try:
        async with connect(url, additional_headers=headers, subprotocols=protocols, proxy=None) as socket:
            await socket.send("grüße €")
            text = await socket.recv()
            # A message in three fragments comes back whole.
            await socket.send([b"\x00", b"\xff", b"\x01"])
            binary = await socket.recv()
            echo = text == "grüße €" and binary == b"\x00\xff\x01"
            return {"outcome": "connected", "protocol": socket.subprotocol, "echo": echo}
    except websockets.exceptions.InvalidStatus as refusal:
        response = refusal.response
        return {"outcome": "refused", "status": response.status_code, "body": response.body.decode()}


print(json.dumps(asyncio.run(main(*sys.argv[1:4]))))
