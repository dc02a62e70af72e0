"""A member of a swarm that does what others ask of it by calls: the tests of p2pnode use it, and it is an example.

    python main.py garden acorn /ip4/127.0.0.1/tcp/9999/p2p/12D3…
    p2pnode call acorn emit leaf.fell '{"colour": "red"}' --swarm garden
"""

import logging
import sys

import trio

import wire
from peer import Peer


def shown(event: dict) -> dict:
    fields = {"id": event["id"], "author": event["author"].hex(), "kind": event["kind"]}
    if event["kind"] == "emit":
        body = wire.decode(event["body"])
        fields.update(subject=body["subject"], data=wire.decode(body["data"]))
    return fields


ENDPOINTS = {
    "echo": lambda peer, *args: args,
    # The rest is done towards whoever calls, or the swarm.
    "ping": lambda peer, node: peer.ping(node),
    "identify": lambda peer, node: {"protocols": peer.protocols(node)},
    "members": lambda peer: [card["name"] for card in peer.members.values()],
    "call": lambda peer, node, endpoint, *args: peer.call(node, endpoint, *args),
    "emit": lambda peer, subject, data: peer.emit(subject, data),
    "heard": lambda peer: [shown(event) for event in peer.events.values()],
    "put": lambda peer, name, text: peer.put(name, text),
    "get": lambda peer, owner, name: peer.get(owner, name),
    "announce": lambda peer: peer.announce(),
    "announced": lambda peer: peer.announced(),
}


async def main(swarm: str, name: str, *others: str) -> None:
    peer = Peer(swarm, name, ENDPOINTS)

    async def answer(event: dict) -> None:
        """Who answers a question says `ack`, then what it has to say."""
        if event["kind"] != "message":
            return
        message = wire.decode(event["body"])
        if message["endpoint"] != "_node.ask":
            return
        (text,) = wire.decode(message["args"])
        about = {"parent": bytes.fromhex(event["id"]), "conversation": event["conversation"]}
        await peer.publish("ack", **about)
        await peer.publish("reply", f"{name} heard: {text}", **about)

    peer.listeners.append(answer)
    async with peer.run():
        for address in others:
            await peer.dial(address)
        for address in peer.addresses:
            print(f"listening {address}", flush=True)
        print("ready", flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    trio.run(main, *sys.argv[1:])
