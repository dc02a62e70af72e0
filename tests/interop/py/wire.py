"""The bytes of p2pnode, without any network: docs/protocol.md in Python.

What is signed travels as `signature (64) || MessagePack map`; the domain is signed too and does not travel.
"""

import hashlib
import os
import struct
import time
import unicodedata

import msgpack
from libp2p.crypto.ed25519 import Ed25519PublicKey

HELLO = "/p2pnode/hello/1"
RPC = "/p2pnode/rpc/1"
KAD = "/p2pnode/kad/1"

SIGNATURE = 64
MAX_FRAME = 4 * 1024 * 1024 + 2048


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def now_ms() -> int:
    return int(time.time() * 1000)


def encode(value) -> bytes:
    return msgpack.packb(value)


def decode(data: bytes):
    return msgpack.unpackb(data)


def swarm_id(name: str) -> bytes:
    return sha256(b"p2pnode/open/1", unicodedata.normalize("NFC", name).lower().encode())


def blind(swarm: bytes, nonce: bytes) -> bytes:
    """Tells who knows the id that both are in the swarm, and nobody else anything."""
    return sha256(swarm, nonce)


def topic(swarm: bytes) -> str:
    return f"p2pnode/1/{swarm.hex()}"


def swarm_key(swarm: bytes) -> str:
    return f"/p2pnode/swarm/{sha256(swarm).hex()}"


def value_key(owner: bytes, name: str) -> str:
    return f"/p2pnode/value/{sha256(owner, name.encode()).hex()}"


def nonce() -> bytes:
    return os.urandom(16)


def uuid7() -> bytes:
    """48 bits of clock, the rest by chance."""
    head, tail = now_ms().to_bytes(6, "big"), bytearray(os.urandom(10))
    tail[0] = 0x70 | (tail[0] & 0x0F)
    tail[2] = 0x80 | (tail[2] & 0x3F)
    return head + bytes(tail)


def seal(domain: str, key, fields: dict) -> bytes:
    # Optional fields are left out, never nil.
    payload = encode({name: value for name, value in fields.items() if value is not None})
    return key.sign(domain.encode() + payload) + payload


def open_signed(domain: str, author: str, raw: bytes) -> dict:
    """Reads signed bytes; `author` names the field that holds the signer's key."""
    signature, payload = raw[:SIGNATURE], raw[SIGNATURE:]
    fields = decode(payload)
    if not Ed25519PublicKey.from_bytes(fields[author]).verify(domain.encode() + payload, signature):
        raise ValueError(f"the signature of this {domain} does not hold")
    return fields


def open_event(raw: bytes) -> dict:
    return open_signed("p2pnode/event/1", "author", raw)


def open_card(raw: bytes) -> dict:
    return open_signed("p2pnode/card/1", "peer", raw)


def open_value(raw: bytes) -> dict:
    return open_signed("p2pnode/value/1", "owner", raw)


def frame(fields: dict) -> bytes:
    """A length of 4 bytes, big-endian, and so many bytes."""
    body = encode(fields)
    return struct.pack(">I", len(body)) + body


async def read_frame(stream) -> dict:
    (length,) = struct.unpack(">I", await read_exactly(stream, 4))
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes is too large")
    return decode(await read_exactly(stream, length))


async def read_exactly(stream, length: int) -> bytes:
    data = b""
    while len(data) < length:
        chunk = await stream.read(length - len(data))
        if not chunk:
            raise EOFError("the substream ended before its frame")
        data += chunk
    return data
