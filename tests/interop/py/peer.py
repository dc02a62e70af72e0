"""A member of a p2pnode swarm, made of py-libp2p: greetings, calls, events and values."""

import inspect
import logging
from contextlib import AsyncExitStack, asynccontextmanager

import libp2p.kad_dht.common
import libp2p.kad_dht.kad_dht
import libp2p.kad_dht.peer_routing
import libp2p.kad_dht.provider_store
import libp2p.kad_dht.value_store
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.host.ping import PingService
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.records.validator import Validator
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

import wire

AGENT = "py-example/1"
DAY = 24 * 3600 * 1000
CALL_LIMIT = 10
NOT_FOUND = {"code": "ENDPOINT_NOT_FOUND", "number": 3001, "message": "no such endpoint", "retryable": False}

log = logging.getLogger(__name__)

# py-libp2p has no setting for the protocol of its DHT, only a constant that each of these has a copy of.
for module in ("common", "kad_dht", "peer_routing", "provider_store", "value_store"):
    getattr(libp2p.kad_dht, module).PROTOCOL_ID = TProtocol(wire.KAD)


class Values(Validator):
    """py-libp2p asks before it keeps a value of somebody, and before it gives us one."""

    def validate(self, key: str, value: bytes) -> None:
        fields = wire.open_value(value)
        if key != wire.value_key(fields["owner"], fields["name"]):
            raise ValueError("it lies under a foreign key")

    def select(self, key: str, values: list[bytes]) -> int:
        numbers = [wire.open_value(value)["seq"] for value in values]
        return numbers.index(max(numbers))


class Peer:
    def __init__(self, swarm: str, name: str, endpoints: dict):
        self.name = name
        self.swarm = wire.swarm_id(swarm)
        # `p2pnode ping` calls this one.
        self.endpoints = {"_node.ping": lambda peer: "pong", **endpoints}
        self.members = {}
        self.events = {}
        self.listeners = []
        self._pair = create_new_key_pair()
        self._key = self._pair.private_key
        self._own = self._pair.public_key.to_bytes()
        self._feed = (wire.now_ms(), 0, None)
        self.host = new_host(key_pair=self._pair, muxer_preference="YAMUX")
        self._gossip = Pubsub(
            self.host,
            GossipSub(
                protocols=[PROTOCOL_ID_V12, PROTOCOL_ID_V11],
                degree=6,
                degree_low=4,
                degree_high=12,
                heartbeat_interval=1,
                # It would count ten events a second of a whole swarm as spam of whoever passes them on.
                spam_protection_enabled=False,
            ),
            # Events carry a signature of their own.
            strict_signing=False,
            msg_id_constructor=lambda message: wire.sha256(message.data),
        )
        # A client: as a server it would reset all questions about keys of p2pnode, which are longer than it expects.
        self._dht = KadDHT(self.host, DHTMode.CLIENT)
        self._dht.set_namespace_validator("p2pnode", Values())
        self._ping = PingService(self.host)

    @asynccontextmanager
    async def run(self):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.host.run(listen_addrs=[Multiaddr("/ip4/127.0.0.1/tcp/0")]))
            self._nursery = await stack.enter_async_context(trio.open_nursery())
            self.host.set_stream_handler(TProtocol(wire.HELLO), self._answers(self._greeted))
            self.host.set_stream_handler(TProtocol(wire.RPC), self._answers(self._called))
            for service in (self._gossip, self._gossip.router, self._dht):
                await stack.enter_async_context(background_trio_service(service))
            await self._gossip.wait_until_ready()
            topic = wire.topic(self.swarm)
            self._gossip.set_topic_validator(topic, self._check, False)
            self._nursery.start_soon(self._listen, await self._gossip.subscribe(topic))
            yield self
            self._nursery.cancel_scope.cancel()

    @property
    def id(self) -> str:
        return str(self.host.get_id())

    @property
    def addresses(self) -> list[str]:
        return [str(addr) for addr in self.host.get_addrs()]

    async def dial(self, address: str) -> None:
        info = info_from_p2p_addr(Multiaddr(address))
        await self.host.connect(info)
        await self._greet(info.peer_id)
        await self._dht.routing_table.add_peer(info)

    async def ping(self, peer: str) -> float:
        return (await self._ping.ping(ID.from_base58(peer)))[0]

    def protocols(self, peer: str) -> list[str]:
        """What identify has told of a peer."""
        return list(self.host.get_peerstore().get_protocols(ID.from_base58(peer)))

    # --- one request and one reply per substream

    def _answers(self, handler):
        async def answer(stream):
            try:
                caller = stream.muxed_conn.peer_id
                with trio.fail_after(CALL_LIMIT):
                    request = await wire.read_frame(stream)
                await stream.write(wire.frame(await handler(request, caller)))
                await stream.close()
            except Exception:
                log.exception("a request was not answered")
                await stream.reset()

        return answer

    async def _ask(self, peer: ID, protocol: str, request: dict) -> dict:
        with trio.fail_after(CALL_LIMIT):
            stream = await self.host.new_stream(peer, [TProtocol(protocol)])
            await stream.write(wire.frame(request))
            reply = await wire.read_frame(stream)
            await stream.close()
            return reply

    # --- hello

    def _hello(self) -> dict:
        nonce = wire.nonce()
        return {"v": 1, "agent": AGENT, "nonce": nonce, "swarms": [wire.blind(self.swarm, nonce)]}

    async def _greet(self, peer: ID) -> None:
        hello = self._hello()
        reply = await self._ask(peer, wire.HELLO, hello)
        ours = wire.blind(self.swarm, hello["nonce"])
        for shared in reply.get("shared", []):
            if shared["swarm"] == ours and shared["card"]:
                self.members[peer] = wire.open_card(shared["card"])

    async def _greeted(self, hello: dict, caller: ID) -> dict:
        """A card travels in replies alone: that is how others come to know us."""
        asked = wire.blind(self.swarm, hello["nonce"])
        together = asked in hello["swarms"]
        if together and caller not in self.members:
            self._nursery.start_soon(self._greet_back, caller)
        shared = [{"swarm": asked, "card": self._card(), "known": []}] if together else []
        return {**self._hello(), "shared": shared}

    async def _greet_back(self, peer: ID) -> None:
        try:
            await self._greet(peer)
        except Exception:
            log.exception("a hello was not answered")

    def _card(self) -> bytes:
        card = {
            "v": 1,
            "peer": self._own,
            "seq": wire.now_ms(),
            "not_after": wire.now_ms() + DAY,
            "name": self.name,
            "kind": "node",
            "agent": AGENT,
            "endpoints": [{"name": name} for name in self.endpoints if not name.startswith("_")],
            "addresses": self.addresses,
        }
        return wire.seal("p2pnode/card/1", self._key, card)

    # --- calls

    async def call(self, peer: str, endpoint: str, *args):
        request = {
            "t": "req",
            "id": 1,
            "swarm": self.swarm,
            "endpoint": endpoint,
            "args": wire.encode(args),
            "kwargs": wire.encode({}),
            "left_ms": CALL_LIMIT * 1000,
        }
        reply = await self._ask(ID.from_base58(peer), wire.RPC, request)
        if reply["t"] != "res":
            raise RuntimeError(f"{reply.get('code')}: {reply.get('message')}")
        return wire.decode(reply["result"])

    async def _called(self, request: dict, caller: ID) -> dict:
        handler = self.endpoints.get(request["endpoint"])
        if handler is None or request.get("swarm") != self.swarm:
            return {"t": "err", "id": request["id"], **NOT_FOUND}
        try:
            result = handler(self, *(wire.decode(request["args"]) if request.get("args") else []))
            result = await result if inspect.isawaitable(result) else result
            return {"t": "res", "id": request["id"], "result": wire.encode(result)}
        except Exception as error:
            log.exception("a handler failed")
            failed = {"code": "HANDLER_FAILED", "number": 5002, "message": str(error)[:1000], "retryable": False}
            return {"t": "err", "id": request["id"], **failed}

    # --- events

    def _check(self, _, message) -> bool:
        try:
            event = wire.open_event(message.data)
            return event["v"] == 1 and event["swarm"] == self.swarm
        except Exception:
            return False

    async def _listen(self, subscription) -> None:
        while True:
            message = await subscription.get()
            event_id = wire.sha256(message.data).hex()
            event = wire.open_event(message.data)
            # Copies may come on several ways, and our own events come too.
            if event_id in self.events or event["author"] == self._own:
                continue
            self.events[event_id] = {**event, "id": event_id}
            for listener in self.listeners:
                await listener(self.events[event_id])

    async def publish(self, kind: str, body=None, parent=None, conversation=None) -> str:
        """Says something to the whole swarm, as the next event of our feed."""
        epoch, seq, prev = self._feed
        event = {
            "v": 1,
            "swarm": self.swarm,
            "author": self._own,
            "epoch": epoch,
            "seq": seq,
            "prev": prev,
            "at_ms": wire.now_ms(),
            "conversation": conversation or wire.uuid7(),
            "kind": kind,
            "parent": parent,
            "meta": wire.encode({"name": self.name}),
            "body": b"" if body is None else wire.encode(body),
        }
        raw = wire.seal("p2pnode/event/1", self._key, event)
        event_id = wire.sha256(raw)
        self._feed = (epoch, seq + 1, event_id)
        # It adds an author and a number of gossipsub's own, which p2pnode takes no notice of.
        await self._gossip.publish(wire.topic(self.swarm), raw)
        return event_id.hex()

    async def emit(self, subject: str, data) -> str:
        return await self.publish("emit", {"subject": subject, "data": wire.encode(data)})

    # --- the DHT

    async def put(self, name: str, text: str) -> str:
        at = wire.now_ms()
        value = {"v": 1, "owner": self._own, "name": name, "seq": at, "at_ms": at, "body": text.encode()}
        raw = wire.seal("p2pnode/value/1", self._key, value)
        await self._dht.put_value(wire.value_key(self._own, name), raw)
        return f"{self.id}/{name}"

    async def get(self, peer: str, name: str) -> str:
        owner = ID.from_base58(peer).extract_public_key().to_bytes()
        raw = await self._dht.get_value(wire.value_key(owner, name))
        if raw is None:
            raise LookupError(f"nobody has the value {name}")
        return wire.open_value(raw)["body"].decode()

    async def announce(self) -> bool:
        """Tells the DHT that we are a member: others find us by the name of the swarm."""
        return await self._dht.provide(wire.swarm_key(self.swarm))

    async def announced(self) -> list[str]:
        """Who else has said so."""
        return [str(info.peer_id) for info in await self._dht.find_providers(wire.swarm_key(self.swarm))]
