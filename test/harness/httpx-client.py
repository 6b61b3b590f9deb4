"""Requests of httpx, whose HTTP/2 is that of the Python package h2.

    python httpx-client.py ORIGIN CA

Prints one line for each of what it did, as JSON.
"""

import asyncio
import hashlib
import json
import sys

import httpx

origin, ca = sys.argv[1:]


async def main():
    # Over http:// it is HTTP/2 by prior knowledge: with http1 off there is nothing else to begin with.
    async with httpx.AsyncClient(
        http1=False, http2=True, verify=ca, timeout=20, base_url=origin, trust_env=False
    ) as client:
        for app in ("http1", "http2"):
            got = await client.get(f"/{app}/")
            body = bytes(range(256)) * 4096
            posted = await client.post(f"/{app}/", content=body)
            large = await client.get(f"/{app}/bytes/4194304")
            many = await asyncio.gather(
                *(client.get(f"/{app}/bytes/{number}") for number in range(100))
            )
            print(
                json.dumps(
                    {
                        "app": app,
                        "version": got.http_version,
                        "status": got.status_code,
                        "spoken": got.headers["x-spoken"],
                        "text": got.text,
                        "echoed": posted.content == body,
                        "large": hashlib.sha256(large.content).hexdigest(),
                        "many": all(len(one.content) == n for n, one in enumerate(many)),
                    }
                ),
                flush=True,
            )


asyncio.run(main())
