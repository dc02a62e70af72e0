// The bytes of p2pnode, without any network: docs/protocol.md in JavaScript.
// What is signed travels as `signature (64) || MessagePack map`; the domain is signed too and does not travel.
import { createHash, randomBytes } from 'node:crypto'
import { generateKeyPair, publicKeyFromRaw } from '@libp2p/crypto/keys'
import { byteStream } from '@libp2p/utils'
import { decode as unpack, encode as pack } from '@msgpack/msgpack'

export const HELLO = '/p2pnode/hello/1'
export const RPC = '/p2pnode/rpc/1'
export const KAD = '/p2pnode/kad/1'

const SIGNATURE = 64
const MAX_FRAME = 4 * 1024 * 1024 + 2048

export const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts.map((p) => Buffer.from(p)))).digest()
export const hex = (bytes) => Buffer.from(bytes).toString('hex')

// Optional fields are left out, never nil.
export const encode = (value) => pack(value, { ignoreUndefined: true })
export const decode = (bytes) => unpack(bytes)

export const newKey = () => generateKeyPair('Ed25519')
export const swarmId = (name) => sha256('p2pnode/open/1', name.normalize('NFC').toLowerCase())
// Tells who knows the id that both are in the swarm, and nobody else anything.
export const blind = (swarm, nonce) => sha256(swarm, nonce)
export const topic = (swarm) => `p2pnode/1/${hex(swarm)}`
export const swarmKey = (swarm) => `/p2pnode/swarm/${hex(sha256(swarm))}`
export const valueKey = (owner, name) => `/p2pnode/value/${hex(sha256(owner, name))}`
export const nonce = () => randomBytes(16)

// A UUIDv7: 48 bits of clock, the rest by chance.
export function uuid7 () {
  const id = randomBytes(16)
  id.writeUIntBE(Date.now(), 0, 6)
  id[6] = 0x70 | (id[6] & 0x0f)
  id[8] = 0x80 | (id[8] & 0x3f)
  return id
}

export async function seal (domain, key, fields) {
  const payload = encode(fields)
  const signature = await key.sign(Buffer.concat([Buffer.from(domain), payload]))
  return Buffer.concat([signature, payload])
}

// Reads signed bytes; `author` names the field that holds the signer's key. Throws if the signature does not hold.
export async function open (domain, author, raw) {
  const bytes = Buffer.from(raw)
  const [signature, payload] = [bytes.subarray(0, SIGNATURE), bytes.subarray(SIGNATURE)]
  const fields = decode(payload)
  const holds = await publicKeyFromRaw(fields[author]).verify(Buffer.concat([Buffer.from(domain), payload]), signature)
  if (!holds) throw new Error(`the signature of this ${domain} does not hold`)
  return fields
}

export const sealEvent = (key, event) => seal('p2pnode/event/1', key, event)
export const openEvent = (raw) => open('p2pnode/event/1', 'author', raw)
export const sealCard = (key, card) => seal('p2pnode/card/1', key, card)
export const openCard = (raw) => open('p2pnode/card/1', 'peer', raw)
export const sealValue = (key, value) => seal('p2pnode/value/1', key, value)
export const openValue = (raw) => open('p2pnode/value/1', 'owner', raw)

// One substream: a frame there, a frame back. A frame is a length of 4 bytes, big-endian, and so many bytes.
export function frame (fields) {
  const body = encode(fields)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(body.length)
  return Buffer.concat([length, body])
}

export async function readFrame (stream) {
  // Not `for await`: that ends with the substream, and may lose what came just before.
  const bytes = byteStream(stream)
  const length = (await bytes.read({ bytes: 4 })).getUint32(0)
  if (length > MAX_FRAME) throw new Error(`a frame of ${length} bytes is too large`)
  return decode((await bytes.read({ bytes: length })).subarray())
}
