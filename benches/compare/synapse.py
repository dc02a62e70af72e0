"""synapse-p2p's own node and client, as its users run them, driven line by line.

    python synapse.py serve            prints its port, then its CPU time (ns) for each line it reads
    python synapse.py call PORT        prints that it is ready, then for each line `IN_FLIGHT SECONDS BYTES`
                                       `CALLS SECONDS P50_US CPU_NS`
"""

import asyncio
import statistics
import sys
import time

from loguru import logger
from synapse_p2p import Node
from synapse_p2p.client import Client


def say(*words):
    print(*words, flush=True)


async def lines():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


async def serve():
    node = Node(bind="127.0.0.1", advertise="127.0.0.1", name="server", swarm="bench")

    @node.endpoint("echo")
    async def echo(body):
        return body

    await node.start()
    say(node.port)
    async for _ in lines():
        say(time.process_time_ns())


async def call(port):
    client = Client("127.0.0.1", port)
    say("ready")
    async for in_flight, seconds, size in lines():
        body, spans, began, cpu = b"\x07" * int(size), [], time.perf_counter(), time.process_time_ns()
        until = began + float(seconds)

        async def worker():
            while (at := time.perf_counter()) < until:
                assert await client.call("echo", body) == body
                spans.append(time.perf_counter() - at)

        await asyncio.gather(*(worker() for _ in range(int(in_flight))))
        took = time.perf_counter() - began
        say(len(spans), took, statistics.median(spans) * 1e6, time.process_time_ns() - cpu)


logger.remove()
asyncio.run(serve() if sys.argv[1] == "serve" else call(int(sys.argv[2])))
