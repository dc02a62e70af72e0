//! How Kademlia is set up.

use std::num::NonZeroUsize;

use libp2p_kad as kad;
use libp2p_swarm::StreamProtocol;
use p2pnode_wire::protocol;

use crate::discovery::Config;

pub(super) fn settings(config: &Config) -> kad::Config {
    let one_or = |number: usize| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
    let mut settings = kad::Config::new(StreamProtocol::new(protocol::KAD));
    settings
        .set_parallelism(one_or(config.parallelism))
        .set_replication_factor(one_or(config.replication))
        .disjoint_query_paths(false)
        .set_query_timeout(config.query_timeout)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_record_ttl(Some(config.record_ttl))
        .set_provider_record_ttl(Some(config.record_ttl))
        // Owners announce their own; see `announce`.
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(None)
        .set_caching(kad::Caching::Disabled);
    settings
}
