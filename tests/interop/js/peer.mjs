// A member of a p2pnode swarm, made of js-libp2p: greetings, calls, events and values.
import { identify } from '@libp2p/identify'
import { gossipsub, TopicValidatorResult } from '@libp2p/gossipsub'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import * as wire from './wire.mjs'

const AGENT = 'js-example/1'
const DAY = 24 * 3600 * 1000
const CALL_LIMIT = 10_000
const NOT_FOUND = { code: 'ENDPOINT_NOT_FOUND', number: 3001, message: 'no such endpoint', retryable: false }

export class Peer {
  #key
  #swarm
  #node
  #name
  #endpoints = new Map()
  #listeners = []
  #events = new Map()
  #feed = { epoch: Date.now(), seq: 0, prev: undefined }

  /** Peers that have answered our hello, by id: their cards. */
  members = new Map()

  static async start ({ swarm, name, endpoints = {} }) {
    const peer = new Peer()
    peer.#name = name
    peer.#swarm = wire.swarmId(swarm)
    peer.#key = await wire.newKey()
    // `p2pnode ping` calls this one.
    peer.#endpoints = new Map(Object.entries({ '_node.ping': () => 'pong', ...endpoints }))
    peer.#node = await createLibp2p(peer.#settings())
    await peer.#serve()
    return peer
  }

  #settings () {
    return {
      privateKey: this.#key,
      nodeInfo: { name: 'js-example', version: '1' },
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
      transports: [tcp()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: {
        identify: identify(),
        ping: ping(),
        gossip: gossipsub({
          // Events carry a signature of their own; gossipsub adds nothing.
          globalSignaturePolicy: 'StrictNoSign',
          msgIdFn: (message) => wire.sha256(message.data),
          allowPublishToZeroTopicPeers: true
        }),
        dht: kadDHT({
          protocol: wire.KAD,
          clientMode: false,
          // js-libp2p drops private addresses, and so this host and the whole LAN, unless told otherwise.
          peerInfoMapper: passthroughMapper,
          allowQueryWithZeroPeers: true,
          // By the first part of the key: /p2pnode/value/…
          validators: { p2pnode: checkValue },
          selectors: { p2pnode: newestValue }
        })
      }
    }
  }

  async #serve () {
    const { gossip } = this.#node.services
    await this.#node.handle(wire.HELLO, (stream) => this.#answer(stream, (hello) => this.#greeted(hello)))
    await this.#node.handle(wire.RPC, (stream, connection) => {
      return this.#answer(stream, (request) => this.#called(request, connection.remotePeer))
    })
    this.#node.addEventListener('peer:identify', ({ detail }) => {
      if (detail.protocols.includes(wire.HELLO)) this.#greet(detail.peerId).catch(report)
    })
    gossip.topicValidators.set(wire.topic(this.#swarm), async (_, message) => await this.#check(message.data))
    gossip.addEventListener('message', ({ detail }) => this.#heard(detail.data).catch(report))
    gossip.subscribe(wire.topic(this.#swarm))
  }

  get id () {
    return this.#node.peerId.toString()
  }

  get libp2p () {
    return this.#node
  }

  get addresses () {
    return this.#node.getMultiaddrs().map(String)
  }

  async stop () {
    await this.#node.stop()
  }

  async dial (address) {
    const connection = await this.#node.dial(multiaddr(address))
    return connection.remotePeer.toString()
  }

  // --- one request and one reply per substream

  async #answer (stream, handler) {
    try {
      stream.send(wire.frame(await handler(await wire.readFrame(stream))))
      await stream.close()
    } catch (error) {
      stream.abort(error)
      report(error)
    }
  }

  async #ask (peer, protocol, request) {
    const signal = AbortSignal.timeout(CALL_LIMIT)
    const stream = await this.#node.dialProtocol(peer, protocol, { signal })
    signal.addEventListener('abort', () => stream.abort(new Error('no answer in time')))
    stream.send(wire.frame(request))
    const reply = await wire.readFrame(stream)
    // The other end may have closed it by now, which is no failure.
    stream.close().catch(() => {})
    return reply
  }

  // --- hello

  #hello () {
    const nonce = wire.nonce()
    return { v: 1, agent: AGENT, nonce, swarms: [wire.blind(this.#swarm, nonce)] }
  }

  async #greet (peer) {
    const hello = this.#hello()
    const reply = await this.#ask(peer, wire.HELLO, hello)
    const ours = wire.blind(this.#swarm, hello.nonce)
    const shared = reply.shared?.find((entry) => ours.equals(entry.swarm))
    if (shared?.card?.length > 0) this.members.set(peer.toString(), await wire.openCard(shared.card))
  }

  // A card travels in replies alone: that is how others come to know us.
  async #greeted (hello) {
    const asked = wire.blind(this.#swarm, hello.nonce)
    const together = hello.swarms.some((swarm) => asked.equals(swarm))
    const shared = together ? [{ swarm: asked, card: await this.#card(), known: [] }] : []
    return { ...this.#hello(), shared }
  }

  #card () {
    const endpoints = [...this.#endpoints.keys()].filter((name) => !name.startsWith('_')).map((name) => ({ name }))
    return wire.sealCard(this.#key, {
      v: 1,
      peer: this.#key.publicKey.raw,
      seq: Date.now(),
      not_after: Date.now() + DAY,
      name: this.#name,
      kind: 'node',
      agent: AGENT,
      endpoints,
      addresses: this.addresses
    })
  }

  // --- calls

  async call (peer, endpoint, ...args) {
    const request = {
      t: 'req',
      id: 1,
      swarm: this.#swarm,
      endpoint,
      args: wire.encode(args),
      kwargs: wire.encode({}),
      left_ms: CALL_LIMIT
    }
    const reply = await this.#ask(peerIdFromString(peer), wire.RPC, request)
    if (reply.t !== 'res') throw new Error(`${reply.code}: ${reply.message}`)
    return wire.decode(reply.result)
  }

  async #called ({ id, swarm, endpoint, args }, caller) {
    const handler = this.#endpoints.get(endpoint)
    const member = swarm != null && this.#swarm.equals(swarm)
    if (handler == null || !member) return { t: 'err', id, ...NOT_FOUND }
    try {
      const result = await handler(this, args?.length > 0 ? wire.decode(args) : [], caller.toString())
      return { t: 'res', id, result: wire.encode(result ?? null) }
    } catch (error) {
      report(error)
      return { t: 'err', id, code: 'HANDLER_FAILED', number: 5002, message: String(error.message), retryable: false }
    }
  }

  // --- events

  onEvent (listener) {
    this.#listeners.push(listener)
  }

  /** Events that were heard and hold, by id. */
  get events () {
    return [...this.#events.values()]
  }

  async #check (raw) {
    try {
      const event = await wire.openEvent(raw)
      return event.v === 1 && this.#swarm.equals(event.swarm) ? TopicValidatorResult.Accept : TopicValidatorResult.Reject
    } catch {
      return TopicValidatorResult.Reject
    }
  }

  // Copies may come on several ways: an event counts once.
  async #heard (raw) {
    const id = wire.hex(wire.sha256(raw))
    if (this.#events.has(id)) return
    const event = { ...await wire.openEvent(raw), id }
    this.#events.set(id, event)
    for (const listener of this.#listeners) await listener(event)
  }

  /** Says something to the whole swarm, as the next event of our feed. */
  async publish (kind, body, { parent, conversation = wire.uuid7() } = {}) {
    const { epoch, seq, prev } = this.#feed
    const raw = await wire.sealEvent(this.#key, {
      v: 1,
      swarm: this.#swarm,
      author: this.#key.publicKey.raw,
      epoch,
      seq,
      prev,
      at_ms: Date.now(),
      conversation,
      kind,
      parent,
      meta: wire.encode({ name: this.#name }),
      body: body === undefined ? new Uint8Array() : wire.encode(body)
    })
    const id = wire.sha256(raw)
    this.#feed = { epoch, seq: seq + 1, prev: id }
    await this.#node.services.gossip.publish(wire.topic(this.#swarm), raw)
    return wire.hex(id)
  }

  emit (subject, data) {
    return this.publish('emit', { subject, data: wire.encode(data) })
  }

  // --- the DHT

  async put (name, text) {
    const owner = this.#key.publicKey.raw
    const at = Date.now()
    const value = { v: 1, owner, name, seq: at, at_ms: at, body: Buffer.from(text) }
    const raw = await wire.sealValue(this.#key, value)
    await this.#node.contentRouting.put(Buffer.from(wire.valueKey(owner, name)), raw)
    return `${this.id}/${name}`
  }

  async get (peer, name) {
    const owner = peerIdFromString(peer).publicKey.raw
    const raw = await this.#node.contentRouting.get(Buffer.from(wire.valueKey(owner, name)))
    return Buffer.from((await wire.openValue(raw)).body).toString()
  }

  /** Tells the DHT that we are a member: others find us by the name of the swarm. */
  async announce () {
    // Not `dht.provide`: it notes a key of ours in a book that it cannot read again afterwards.
    const { dht } = this.#node.services
    const key = Buffer.from(wire.swarmKey(this.#swarm))
    const self = { id: this.#node.peerId.toMultihash().bytes, multiaddrs: this.#node.getMultiaddrs().map((a) => a.bytes) }
    let told = 0
    for await (const { name, peer, path } of dht.getClosestPeers(key)) {
      if (name !== 'FINAL_PEER') continue
      for await (const _ of dht.network.sendMessage(peer.id, { type: 'ADD_PROVIDER', key, providers: [self] }, { path }));
      told += 1
    }
    return told
  }

  /** Who else has said so. */
  async announced () {
    const found = new Set()
    for await (const event of this.#node.services.dht.findProviders(textKey(wire.swarmKey(this.#swarm)))) {
      if (event.name === 'PROVIDER') event.providers.forEach((provider) => found.add(provider.id.toString()))
    }
    return [...found]
  }
}

// js-libp2p takes keys of providers from CIDs, and of these the multihash alone. Ours are texts.
const textKey = (text) => ({ multihash: { bytes: Buffer.from(text) }, toString: () => text })

// js-libp2p asks before it keeps a value of somebody, and before it gives us one.
async function checkValue (key, raw) {
  const value = await wire.openValue(raw)
  if (Buffer.from(key).toString() !== wire.valueKey(value.owner, value.name)) throw new Error('it lies under a foreign key')
}

const seqOf = (raw) => wire.decode(Buffer.from(raw).subarray(64)).seq
function newestValue (_, records) {
  return records.reduce((best, raw, i) => seqOf(raw) > seqOf(records[best]) ? i : best, 0)
}

function report (error) {
  console.error(`js: ${error.stack ?? error}`)
}
