use std::{collections::VecDeque, sync::LazyLock};

use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

use super::{super::table::Entry, *};

const GARDEN: SwarmId = SwarmId([1; 32]);
const ORCHARD: SwarmId = SwarmId([2; 32]);

/// One-way time of every link.
const WAY: Duration = Duration::from_millis(30);

/// Until all know each other, a comparison included.
const SETTLED: Duration = Duration::from_secs(45);

/// Of all nodes, and whose number is whose.
static KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    let seed = |number: u8| std::array::from_fn(|at| if at == 0 { number } else { 7 });
    (0..200).map(|number| SigningKey::from_bytes(&seed(number))).collect()
});
static PEERS: LazyLock<Vec<PeerKey>> =
    LazyLock::new(|| KEYS.iter().map(|key| PeerKey(key.verifying_key().to_bytes())).collect());
static NUMBERS: LazyLock<BTreeMap<PeerKey, usize>> =
    LazyLock::new(|| PEERS.iter().enumerate().map(|(number, peer)| (*peer, number)).collect());

fn key(number: usize) -> SigningKey {
    KEYS[number].clone()
}

fn peer(number: usize) -> PeerKey {
    PEERS[number]
}

fn config() -> Config {
    Config::default()
}

/// A member of the garden that is not there yet.
fn node(number: usize, config: &Config, now: Instant) -> State {
    let mut state = State::new(config.clone(), key(number), 1_000, now);
    state.join(GARDEN);
    state.set_self(format!("n{number}"), 1, now);
    state
}

fn word(subject: usize, incarnation: u64, says: Says) -> Word {
    Word { swarm: GARDEN, subject: peer(subject), incarnation, says }
}

fn alive(subject: usize, incarnation: u64, card: u64) -> Word {
    word(subject, incarnation, Says::Alive { name: format!("n{subject}"), card })
}

fn suspect(subject: usize, incarnation: u64, witness: usize) -> Word {
    word(subject, incarnation, Says::Suspect { witness: peer(witness) })
}

fn sealed(word: &Word) -> Bytes {
    word.seal(&key(NUMBERS[word.signer()])).into_raw()
}

/// Nodes and the links between them, in a time of their own.
struct World {
    now: Instant,
    nodes: Vec<State>,
    /// Crashed ones take nothing.
    down: BTreeSet<usize>,
    /// Frames under way: when they arrive, from whom, to whom.
    way: VecDeque<(Instant, usize, usize, Frame)>,
    rng: SmallRng,
    /// Every so manieth frame is lost; 0: none.
    loss: u32,
    frames: u64,
    words: u64,
    changes: Vec<(usize, Change)>,
}

impl World {
    /// `count` nodes, each linked with about `links` others.
    fn new(count: usize, links: usize, seed: u64) -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            nodes: (0..count).map(|number| node(number, &config(), now)).collect(),
            down: BTreeSet::new(),
            way: VecDeque::new(),
            rng: SmallRng::seed_from_u64(seed),
            loss: 0,
            frames: 0,
            words: 0,
            changes: Vec::new(),
        };
        for number in 1..count {
            world.link(number, number - 1);
            for _ in 1..links.div_ceil(2) {
                let other = world.rng.random_range(0..number);
                world.link(number, other);
            }
        }
        world
    }

    fn link(&mut self, a: usize, b: usize) {
        self.nodes[a].neighbour_up(peer(b), &[GARDEN], self.now);
        self.nodes[b].neighbour_up(peer(a), &[GARDEN], self.now);
    }

    fn cut(&mut self, a: usize, b: usize) {
        self.nodes[a].neighbour_down(&peer(b), self.now);
        self.nodes[b].neighbour_down(&peer(a), self.now);
    }

    /// Its neighbours notice.
    fn crash(&mut self, number: usize) {
        self.down.insert(number);
        let now = self.now;
        for other in (0..self.nodes.len()).filter(|other| *other != number) {
            if self.nodes[other].is_neighbour(&peer(number)) {
                self.nodes[other].neighbour_down(&peer(number), now);
                self.nodes[other].suspect(peer(number), now, &mut self.rng);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(10);
            while self.way.front().is_some_and(|(at, ..)| *at <= self.now)
                && let Some((_, from, to, frame)) = self.way.pop_front()
            {
                if !self.down.contains(&to) {
                    self.nodes[to].receive(peer(from), frame, self.now, &mut self.rng);
                }
            }
            for number in 0..self.nodes.len() {
                if !self.down.contains(&number) {
                    self.turn(number);
                }
            }
        }
    }

    fn turn(&mut self, number: usize) {
        let state = &mut self.nodes[number];
        state.tick(self.now, &mut self.rng);
        for neighbour in state.ready(self.now) {
            let Some(frame) = state.frame_for(&neighbour, self.now, &mut self.rng) else { continue };
            state.sent(&neighbour);
            self.frames += 1;
            self.words += if let Frame::Words(words) = &frame { words.len() as u64 } else { 0 };
            let to = NUMBERS[&neighbour];
            if self.loss == 0 || self.rng.random_range(0..self.loss) > 0 {
                self.way.push_back((self.now + WAY, number, to, frame));
            }
        }
        while let Some(event) = state.take_changes() {
            if let Event::Changed(changes) = event {
                self.changes.extend(changes.into_iter().map(|change| (number, change)));
            }
        }
    }

    fn status(&self, of: usize, at: usize) -> Option<Status> {
        self.nodes[at].swarms[&GARDEN].get(&peer(of)).map(|entry| entry.status)
    }

    /// How many living ones think so of `of`.
    fn think(&self, of: usize, status: Status) -> usize {
        let others = (0..self.nodes.len()).filter(|at| *at != of && !self.down.contains(at));
        others.filter(|at| self.status(of, *at) == Some(status)).count()
    }

    fn ever(&self, status: Status) -> bool {
        self.changes.iter().any(|(_, change)| change.status == status)
    }
}

#[test]
fn everybody_comes_to_know_everybody() {
    let mut world = World::new(60, 6, 1);
    world.run(SETTLED);
    for of in 0..60 {
        assert_eq!(world.think(of, Status::Online), 59, "{of}");
    }
    let digests: BTreeSet<Buckets> = world.nodes.iter().map(|state| state.swarms[&GARDEN].buckets()).collect();
    assert_eq!(digests.len(), 1);
    // Then nothing is said but one comparison each half minute, and its answer.
    let (words, frames) = (world.words, world.frames);
    world.run(Duration::from_secs(300));
    assert_eq!(world.words, words);
    let each = (world.frames - frames) as f64 / 60.0 / 300.0;
    assert!(each < 0.08, "{each} frames per second and node");
}

#[test]
fn a_crash_is_known_in_seconds() {
    let mut world = World::new(80, 6, 2);
    world.run(SETTLED);
    world.crash(40);
    world.run(Duration::from_secs(4));
    assert_eq!(world.think(40, Status::Offline), 79);
    let others =
        world.changes.iter().filter(|(_, c)| c.status == Status::Offline && Some(c.peer) != peer_of(&peer(40)));
    assert_eq!(others.count(), 0);
    // It comes back with a higher incarnation.
    world.down.remove(&40);
    world.nodes[40] = State { first: 2_000, ..node(40, &config(), world.now) };
    world.link(40, 3);
    world.run(Duration::from_secs(3));
    assert_eq!(world.think(40, Status::Online), 79);
}

#[test]
fn whoever_comes_back_with_a_lower_incarnation_rises() {
    let mut world = World::new(20, 6, 3);
    world.run(SETTLED);
    world.crash(7);
    world.run(Duration::from_secs(5));
    world.down.remove(&7);
    // Its clock was set back.
    world.nodes[7] = State { first: 5, ..node(7, &config(), world.now) };
    world.link(7, 3);
    world.run(Duration::from_secs(3));
    assert_eq!(world.think(7, Status::Online), 19);
}

#[test]
fn a_leave_is_known_at_once() {
    let mut world = World::new(80, 6, 4);
    world.run(SETTLED);
    let now = world.now;
    world.nodes[9].leave(now, &mut world.rng);
    world.run(Duration::from_secs(1));
    assert_eq!(world.think(9, Status::Left), 79);
    // Whoever says afterwards that it is there is told better.
    world.down.insert(9);
    world.nodes[10].receive(peer(11), Frame::Words(vec![sealed(&alive(9, 1_000, 1))]), now, &mut world.rng);
    assert_eq!(world.status(9, 10), Some(Status::Left));
}

#[test]
fn a_lie_about_a_living_node_is_contradicted() {
    let mut world = World::new(60, 6, 5);
    world.run(SETTLED);
    for round in 0..20 {
        // A member lies, again and again.
        let incarnation = world.nodes[5].swarms[&GARDEN].get(&peer(5)).map_or(0, Entry::incarnation);
        let lie = Frame::Words(vec![sealed(&suspect(5, incarnation, 50))]);
        let now = world.now;
        let liar = *world.nodes[0].neighbours.keys().next().expect("a neighbour");
        world.nodes[0].receive(liar, lie, now, &mut world.rng);
        world.run(Duration::from_secs(4));
        assert!(!world.ever(Status::Offline), "round {round}");
    }
    assert_eq!(world.think(5, Status::Online), 59);
    let raised = world.nodes[5].swarms[&GARDEN].get(&peer(5)).map_or(0, Entry::incarnation);
    assert!((1_001..=1_004).contains(&raised), "once in thirty seconds counts, not {}", raised - 1_000);
}

#[test]
fn frames_that_are_lost_are_made_up_for() {
    let mut world = World::new(60, 6, 6);
    world.loss = 5;
    world.run(Duration::from_secs(60));
    world.crash(30);
    let now = world.now;
    world.nodes[31].leave(now, &mut world.rng);
    world.run(Duration::from_secs(1));
    world.down.insert(31);
    world.run(Duration::from_secs(120));
    assert_eq!(world.think(30, Status::Offline) + world.think(31, Status::Left), 2 * 58);
    let gone = [peer_of(&peer(30)), peer_of(&peer(31))];
    let wrong = world.changes.iter().filter(|(_, c)| c.status == Status::Offline && !gone.contains(&Some(c.peer)));
    assert_eq!(wrong.count(), 0);
}

#[test]
fn halves_that_were_apart_agree_again() {
    let mut world = World::new(40, 6, 7);
    world.run(SETTLED);
    let cuts: Vec<(usize, usize)> = (0..20).flat_map(|a| (20..40).map(move |b| (a, b))).collect();
    let linked: Vec<(usize, usize)> =
        cuts.into_iter().filter(|(a, b)| world.nodes[*a].is_neighbour(&peer(*b))).collect();
    for (a, b) in &linked {
        world.cut(*a, *b);
        let now = world.now;
        world.nodes[*a].suspect(peer(*b), now, &mut world.rng);
        world.nodes[*b].suspect(peer(*a), now, &mut world.rng);
    }
    world.run(Duration::from_secs(60));
    assert!(world.think(25, Status::Offline) + world.think(26, Status::Offline) > 0, "the other half seems gone");
    for (a, b) in linked {
        world.link(a, b);
    }
    world.run(Duration::from_secs(90));
    for of in 0..40 {
        assert_eq!(world.think(of, Status::Online), 39, "{of}");
    }
}

#[test]
fn strangers_are_not_heard() {
    let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(8));
    let mut state = node(0, &config(), now);
    let told = Frame::Words(vec![sealed(&alive(2, 1, 1))]);
    state.receive(peer(1), told.clone(), now, &mut rng);
    assert!(state.swarms[&GARDEN].get(&peer(2)).is_none(), "not connected");
    // A member of another swarm.
    state.join(ORCHARD);
    state.neighbour_up(peer(1), &[ORCHARD], now);
    state.receive(peer(1), told.clone(), now, &mut rng);
    assert!(state.swarms[&GARDEN].get(&peer(2)).is_none(), "in another swarm");
    state.neighbour_up(peer(1), &[GARDEN], now);
    state.receive(peer(1), told, now, &mut rng);
    assert!(state.swarms[&GARDEN].get(&peer(2)).is_some());
}

#[test]
fn whoever_brings_a_forged_word_is_not_heard_any_more() {
    let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(9));
    let mut state = node(0, &config(), now);
    state.neighbour_up(peer(1), &[GARDEN], now);
    let forged = alive(2, 1, 1).seal(&key(1)).into_raw();
    state.receive(peer(1), Frame::Words(vec![forged]), now, &mut rng);
    state.receive(peer(1), Frame::Words(vec![sealed(&alive(3, 1, 1))]), now, &mut rng);
    assert_eq!(state.swarms[&GARDEN].iter().count(), 0);
}

/// A neighbour tells of these members; how many are known then.
fn bring(state: &mut State, members: std::ops::Range<usize>, now: Instant) -> usize {
    let words: Vec<Bytes> = members.map(|number| sealed(&alive(number, 1, 1))).collect();
    for words in words.chunks(64) {
        state.receive(peer(1), Frame::Words(words.to_vec()), now, &mut SmallRng::seed_from_u64(10));
    }
    state.swarms[&GARDEN].iter().count()
}

#[test]
fn one_neighbour_brings_so_much_and_no_more() {
    let now = Instant::now();
    let mut state = node(0, &Config { words: 1.0, words_burst: 20.0, ..config() }, now);
    state.neighbour_up(peer(1), &[GARDEN], now);
    assert_eq!(bring(&mut state, 10..60, now), 20);
    assert_eq!(bring(&mut state, 60..110, now + Duration::from_secs(5)), 25);
}

#[test]
fn of_too_many_the_nearest_are_known() {
    let now = Instant::now();
    let mut state = node(0, &Config { members: 30, ..config() }, now);
    state.neighbour_up(peer(1), &[GARDEN], now);
    assert_eq!(bring(&mut state, 10..60, now), 30);
    assert_eq!(bring(&mut state, 60..110, now), 30);
    let mut nearest: Vec<PeerKey> = (10..110).map(peer).collect();
    nearest.sort_by_key(|peer| std::array::from_fn::<u8, 32, _>(|at| peer.0[at] ^ GARDEN.0[at]));
    nearest.truncate(30);
    let kept: BTreeSet<PeerKey> = state.swarms[&GARDEN].iter().map(|(peer, _)| *peer).collect();
    assert_eq!(kept, nearest.into_iter().collect(), "the same ones whoever was told of whom first");
}

#[test]
fn a_node_that_loses_many_at_once_doubts_itself() {
    let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(11));
    let mut state = node(0, &config(), now);
    for number in 1..=8 {
        state.neighbour_up(peer(number), &[GARDEN], now);
        state.receive(peer(number), Frame::Words(vec![sealed(&alive(number, 1, 1))]), now, &mut rng);
    }
    for number in 1..=7 {
        state.neighbour_down(&peer(number), now);
        state.suspect(peer(number), now, &mut rng);
    }
    let suspects = |state: &State| {
        let entries = state.swarms[&GARDEN].iter();
        entries.filter(|(_, entry)| entry.status == Status::Suspect).count()
    };
    let first = suspects(&state);
    assert!((3..7).contains(&first), "{first}");
    // Those who turn up are not accused.
    state.neighbour_up(peer(7), &[GARDEN], now + Duration::from_secs(1));
    state.tick(now + Duration::from_millis(2_500), &mut rng);
    state.accuse_due(now + Duration::from_secs(6), &mut rng);
    let entry = |number| state.swarms[&GARDEN].get(&peer(number)).map(|entry| entry.status);
    assert_eq!(entry(7), Some(Status::Online));
    assert_eq!(entry(6), Some(Status::Suspect));
}

/// What may be said of three members by three others.
fn any_word() -> impl Strategy<Value = Word> {
    (0..3_usize, 1..4_u64, 0..5_usize).prop_map(|(subject, incarnation, kind)| match kind {
        0 => alive(subject + 10, incarnation, 1),
        1 => alive(subject + 10, incarnation, 2),
        2 => word(subject + 10, incarnation, Says::Left),
        witness => suspect(subject + 10, incarnation, witness + 20),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_order_comes_to_the_same(
        words in proptest::collection::vec(any_word(), 1..25),
        others in proptest::collection::vec((0..25_usize, 0..25_usize), 0..40),
    ) {
        let mut world = World::new(2, 0, 12);
        world.cut(0, 1);
        let mut shuffled = words.clone();
        for (a, b) in others {
            let (a, b) = (a % words.len(), b % words.len());
            shuffled.swap(a, b);
            shuffled.push(words[a].clone());
        }
        for (at, all) in [words, shuffled].iter().enumerate() {
            let now = world.now;
            world.nodes[at].neighbour_up(peer(30), &[GARDEN], now);
            for word in all {
                world.nodes[at].receive(peer(30), Frame::Words(vec![sealed(word)]), now, &mut world.rng);
            }
            world.nodes[at].neighbour_down(&peer(30), now);
        }
        // Suspicions count for an incarnation that is known, and so often: what one has missed the other tells.
        world.run(Duration::from_secs(5));
        world.link(0, 1);
        world.run(Duration::from_secs(150));
        let listed = |at: usize| world.nodes[at].swarms[&GARDEN].listed(u64::MAX).collect::<Vec<_>>();
        prop_assert_eq!(listed(0), listed(1));
        let newest = |at: usize| {
            let newest = |number| world.nodes[at].swarms[&GARDEN].get(&peer(number)).map(|e| (e.incarnation(), e.is_there()));
            (10..13).map(newest).filter(|known| known.is_some_and(|(_, there)| there)).collect::<Vec<_>>()
        };
        prop_assert_eq!(newest(0), newest(1));
    }

    #[test]
    fn a_higher_incarnation_wins(words in proptest::collection::vec(any_word(), 0..25)) {
        let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(13));
        let mut state = node(0, &config(), now);
        state.neighbour_up(peer(30), &[GARDEN], now);
        for at in 0..=words.len() {
            let word = words.get(at).cloned().unwrap_or_else(|| alive(10, 9, 1));
            state.receive(peer(30), Frame::Words(vec![sealed(&word)]), now, &mut rng);
        }
        let entry = state.swarms[&GARDEN].get(&peer(10)).map(|entry| (entry.status, entry.incarnation()));
        prop_assert_eq!(entry, Some((Status::Online, 9)));
    }

    #[test]
    fn nothing_grows_without_bound(bytes in proptest::collection::vec(any::<u8>(), 0..200), seed in any::<u64>()) {
        let (now, mut rng) = (Instant::now(), SmallRng::seed_from_u64(seed));
        let mut state = node(0, &config(), now);
        state.neighbour_up(peer(1), &[GARDEN], now);
        let random = |rng: &mut SmallRng| PeerKey(rng.random());
        for byte in bytes {
            let frame = match byte % 5 {
                0 => Frame::Words(vec![Bytes::from(vec![byte; 100])]),
                1 => Frame::Digest { swarm: GARDEN, buckets: Box::new([u32::from(byte); BUCKETS]) },
                2 => Frame::Same { swarm: GARDEN },
                3 => {
                    let listed = |rng: &mut SmallRng| Listed { peer: random(rng), incarnation: 7, card: 1 };
                    let members = (0..50).map(|_| listed(&mut rng)).collect();
                    Frame::List { swarm: GARDEN, covered: u64::MAX, members, more: true }
                }
                _ => Frame::Want { swarm: GARDEN, peers: (0..50).map(|_| random(&mut rng)).collect() },
            };
            state.receive(peer(1), frame, now, &mut rng);
            let _ = state.frame_for(&peer(1), now, &mut rng);
        }
        let neighbour = &state.neighbours[&peer(1)];
        prop_assert!(neighbour.owed.len() <= 10_000 && neighbour.want.len() <= 1 && neighbour.compare.len() <= 1);
    }
}
