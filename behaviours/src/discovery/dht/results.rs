//! What Kademlia answers.

use std::{collections::HashSet, time::Instant};

use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_kad::{self as kad, QueryId, RecordKey, store::RecordStore};
use libp2p_swarm::{ConnectionId, NetworkBehaviour};

use super::{
    behaviour::Behaviour,
    query::{Best, Output, Own, Query, Stats},
    region,
    scan::{self, Purpose},
    store,
};

/// Providers told per lookup.
const MAX_PROVIDERS: usize = 256;

impl Behaviour {
    pub(super) fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::RoutingUpdated { is_new_peer: true, old_peer, .. } => {
                if let Some(old) = old_peer {
                    self.hearsay.left(&old);
                    self.networks.remove(&old);
                }
                self.count();
            }
            kad::Event::InboundRequest { request } => self.on_inbound(request),
            kad::Event::OutboundQueryProgressed { id, result, stats, step } => {
                self.progressed(id, result, step.last);
                if step.last {
                    self.finished(id, stats);
                }
            }
            _ => {}
        }
    }

    fn on_inbound(&mut self, request: kad::InboundRequest) {
        let now = Instant::now();
        match request {
            kad::InboundRequest::PutRecord { source, record: Some(record), .. } if !self.client => {
                if let Err(refused) = self.net.kad.store_mut().offer(record, now) {
                    tracing::debug!(peer = %source, %refused, "a value is not kept");
                }
            }
            kad::InboundRequest::AddProvider { record: Some(mut record) } if !self.client => {
                record.addresses = store::believable(record.addresses, self.remotes.get(&record.provider));
                if let Err(error) = self.net.kad.store_mut().add_provider(record) {
                    tracing::debug!(%error, "a provider is not kept");
                }
            }
            _ => {}
        }
    }

    fn progressed(&mut self, id: QueryId, result: kad::QueryResult, last: bool) {
        match result {
            kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { key, providers })) => {
                self.found_providers(id, &key, providers, last);
            }
            kad::QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))) => self.found_value(id, &found),
            kad::QueryResult::GetClosestPeers(result) => {
                let peers = match result {
                    Ok(ok) => ok.peers,
                    Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                self.found_peers(id, peers);
            }
            kad::QueryResult::PutRecord(result) => self.put(id, result),
            _ => {}
        }
    }

    fn found_providers(&mut self, id: QueryId, key: &RecordKey, providers: HashSet<PeerId>, last: bool) {
        let (token, news, enough) = match self.queries.get_mut(&id) {
            Some(Query::Crowded { crowd, .. }) => {
                return if crowd.told(&providers) {
                    self.end(id)
                };
            }
            Some(Query::Look(look)) => {
                return if look.told(&providers) {
                    self.end(id)
                };
            }
            Some(Query::Providers { token, seen, enough, .. }) => {
                let mut news: Vec<PeerId> = providers.into_iter().filter(|peer| !seen.contains(peer)).collect();
                news.truncate(MAX_PROVIDERS.saturating_sub(seen.len()));
                seen.extend(news.iter().copied());
                (*token, news, seen.len() >= *enough)
            }
            _ => return,
        };
        if enough {
            self.end(id);
        }
        let kept = self.net.kad.store_mut().providers(key);
        let providers: Vec<_> = news.into_iter().map(|peer| (peer, self.addresses(peer, &kept))).collect();
        if !providers.is_empty() || last {
            self.events.push_back(Output::Providers { token, providers, last });
        }
    }

    /// Enough was found: no more is asked.
    fn end(&mut self, id: QueryId) {
        if let Some(mut query) = self.net.kad.query_mut(&id) {
            query.finish();
        }
    }

    /// What lookups under way and the table know of `peer`: kad tells it to nobody but a dial, and forgets it after.
    fn addresses(&mut self, peer: PeerId, kept: &[kad::ProviderRecord]) -> Vec<Multiaddr> {
        let connection = ConnectionId::new_unchecked(0);
        let known = self.net.kad.handle_pending_outbound_connection(connection, Some(peer), &[], Endpoint::Dialer);
        let mut known = known.unwrap_or_default();
        let here = kept.iter().filter(|record| record.provider == peer);
        known.extend(here.flat_map(|record| record.addresses.iter().cloned()));
        known.sort_unstable();
        known.dedup();
        known.truncate(crate::upkeep::book::MAX_PER_PEER);
        known
    }

    fn found_value(&mut self, id: QueryId, found: &kad::PeerRecord) {
        let Some(Query::Value { best, .. }) = self.queries.get_mut(&id) else { return };
        if best.is_sure() {
            return;
        }
        match store::open(&found.record.key, &found.record.value) {
            Ok(value) => {
                // What this node itself has published is the newest.
                let is_own = crate::peer_of(&value.owner) == Some(self.own);
                best.told(value, found.peer);
                if is_own || best.is_sure() {
                    self.end(id);
                }
            }
            Err(refused) => tracing::debug!(peer = ?found.peer, %refused, "a value that is not good"),
        }
    }

    fn found_peers(&mut self, id: QueryId, peers: Vec<kad::PeerInfo>) {
        let Some(Query::Peer { token, peer }) = self.queries.get(&id) else { return };
        let (token, wanted) = (*token, *peer);
        if let Some(found) = peers.into_iter().find(|found| found.peer_id == wanted) {
            self.events.push_back(Output::Peer { token, peer: wanted, addrs: found.addrs });
        }
    }

    fn put(&mut self, id: QueryId, result: kad::PutRecordResult) {
        let Some(Query::Announce { token: Some(token), .. }) = self.queries.get_mut(&id) else { return };
        let token = *token;
        let (reached, error) = match result {
            Ok(_) => (self.table.min(self.announce.enough()), None),
            Err(kad::PutRecordError::QuorumFailed { success, .. } | kad::PutRecordError::Timeout { success, .. }) => {
                let error = success.is_empty().then(|| "no peer has taken it; it is tried again".to_owned());
                (success.len(), error)
            }
        };
        if let Some(Query::Announce { token, .. }) = self.queries.get_mut(&id) {
            *token = None;
        }
        self.events.push_back(Output::Finished { token, stats: Stats::default(), reached, error });
    }

    fn finished(&mut self, id: QueryId, stats: kad::QueryStats) {
        let Some(query) = self.queries.remove(&id) else { return };
        let stats = Stats::from(stats);
        let token = query.token();
        let (purpose, reached) = match query {
            Query::Crowded { key, crowd } => return self.counted(key, crowd.is_complete()),
            Query::Look(look) => return self.looked_at(&look),
            Query::Refresh { lookup, table } => {
                let new = (stats.answers > 0).then(|| self.table.saturating_sub(table));
                return self.refresh.looked(lookup, new, Instant::now(), &mut rand::rng());
            }
            Query::Announce { own, .. } => {
                self.announce.finished(&own);
                (scan::of(&own).map(|(key, purpose)| (key.clone(), purpose)), 0)
            }
            Query::Providers { token, key, seen, .. } => {
                let reached = seen.len();
                (Some((key, Purpose::Providers { token, seen, told: 0, stats })), reached)
            }
            Query::Value { token, key, best } => match best.into_value() {
                Some((value, from)) => {
                    self.events.push_back(Output::Value { token, value, from });
                    (None, 1)
                }
                None => (Some((key, Purpose::Value { token, best: Best::default(), stats })), 0),
            },
            Query::Peer { .. } => (None, 0),
        };
        let goes_on = purpose.is_some_and(|(key, purpose)| self.scan(&key, purpose).is_none());
        if let Some(token) = token.filter(|_| !goes_on) {
            self.events.push_back(Output::Finished { token, stats, reached, error: None });
        }
    }

    fn counted(&mut self, key: RecordKey, is_complete: bool) {
        // Holders that were put there say what they like.
        let size = self.size();
        let is_complete = is_complete && !self.is_surrounded(&key, size, region::PAIR);
        let own = Own::Entrance(key);
        if is_complete {
            tracing::debug!(?own, "has providers enough that are nearer");
            self.announce.finished(&own);
        } else if self.announce.is_running(&own) {
            // It may have been taken back meanwhile.
            self.announce_now(own);
        }
    }
}
