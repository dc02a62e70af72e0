// A member of a swarm that does what others ask of it by calls: the tests of p2pnode use it, and it is an example.
//   node main.mjs garden acorn /ip4/127.0.0.1/tcp/9999
//   p2pnode call acorn emit leaf.fell '{"colour": "red"}' --swarm garden
import { peerIdFromString } from '@libp2p/peer-id'
import * as wire from './wire.mjs'
import { Peer } from './peer.mjs'

const [swarm, name, ...others] = process.argv.slice(2)

const shown = (event) => ({
  id: event.id,
  author: wire.hex(event.author),
  kind: event.kind,
  ...(event.kind === 'emit' && { subject: wire.decode(event.body).subject, data: wire.decode(wire.decode(event.body).data) })
})

const endpoints = {
  echo: (_, args) => args,
  // The rest is done towards whoever calls, or the swarm.
  ping: async (peer, [id]) => await peer.libp2p.services.ping.ping(peerIdFromString(id)),
  identify: async (peer, [id]) => {
    const seen = await peer.libp2p.peerStore.get(peerIdFromString(id))
    return { agent: Buffer.from(seen.metadata.get('AgentVersion') ?? []).toString(), protocols: seen.protocols }
  },
  members: (peer) => [...peer.members.values()].map((card) => card.name),
  call: async (peer, [id, endpoint, ...args]) => await peer.call(id, endpoint, ...args),
  emit: async (peer, [subject, data]) => await peer.emit(subject, data),
  heard: (peer) => peer.events.map(shown),
  put: async (peer, [key, text]) => await peer.put(key, text),
  get: async (peer, [owner, key]) => await peer.get(owner, key),
  announce: async (peer) => await peer.announce(),
  announced: async (peer) => await peer.announced()
}

const peer = await Peer.start({ swarm, name, endpoints })

// Who answers a question says `ack`, then what it has to say.
peer.onEvent(async ({ id, kind, body, conversation }) => {
  if (kind !== 'message') return
  const { endpoint, args } = wire.decode(body)
  if (endpoint !== '_node.ask') return
  const [text] = wire.decode(args)
  const about = { parent: Buffer.from(id, 'hex'), conversation }
  await peer.publish('ack', undefined, about)
  await peer.publish('reply', `${name} heard: ${text}`, about)
})

for (const address of others) await peer.dial(address)
for (const address of peer.addresses) console.log(`listening ${address}`)
console.log('ready')
