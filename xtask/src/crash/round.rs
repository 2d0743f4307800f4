//! One round: writers on new sessions, and strikes against the daemon and Redis while they write.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Fault,
    client::Client,
    daemon::{Address, Daemon},
    message::{Ledger, Message, Moments, Name},
    random::Random,
    redis::Redis,
};

/// How often a writer looks whether the daemon is back.
const PAUSE: Duration = Duration::from_millis(3);

/// What is to be done in a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) number: u32,
    pub(super) sessions: u32,
    pub(super) writers: u32,
    pub(super) messages: u64,
    pub(super) limit: Duration,
}

/// What can be killed.
#[derive(Debug)]
pub(super) struct Tiers {
    pub(super) daemon: Daemon,
    pub(super) redis: Option<Redis>,
}

/// What was done in a round.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) ledger: Ledger,
    pub(super) daemon_kills: u64,
    pub(super) redis_kills: u64,
    /// Requests that were sent once more with their key.
    pub(super) asked_again: u64,
    /// Sentences about what the daemon should have taken.
    pub(super) refusals: Vec<String>,
    pub(super) took: Duration,
}

/// What the threads of a round share.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    address: Address,
    moments: Moments,
    stored: AtomicU64,
    asked_again: AtomicU64,
    is_late: AtomicBool,
}

/// Whom a strike is against.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Daemon,
    Redis,
}

/// Runs writers until enough messages are acknowledged, and kills meanwhile.
pub(super) fn run(plan: &Plan, tiers: &mut Tiers, mut random: Random) -> Result<Done, Fault> {
    let shared = Shared {
        plan: *plan,
        address: tiers.daemon.address(),
        moments: Moments::default(),
        stored: AtomicU64::new(0),
        asked_again: AtomicU64::new(0),
        is_late: AtomicBool::new(false),
    };
    let started = Instant::now();
    let strikes = strikes(plan, tiers.redis.is_some(), &mut random);
    let (written, struck) = thread::scope(|scope| {
        let mut writers = Vec::new();
        for session in 0..plan.sessions {
            for writer in 0..plan.writers {
                let (shared, random) = (&shared, random.fork());
                let write = move || Writer::new(shared, session, writer, random).write();
                writers.push((session, scope.spawn(write)));
            }
        }
        let struck = strike_all(&strikes, tiers, &shared, &mut random);
        shared.wait_until(plan.messages, started);
        // Writers must not wait for a daemon that does not come back.
        shared.is_late.store(true, Ordering::SeqCst);
        let written = writers.into_iter().map(|(session, it)| Some((session, it.join().ok()?)));
        (written.collect::<Option<Vec<_>>>(), struck)
    });
    let (daemon_kills, redis_kills) = struck?;
    let (ledger, mut refusals) = gather(plan, written.ok_or("a writer panicked")?);
    let reached = shared.stored.load(Ordering::SeqCst);
    if reached < plan.messages {
        refusals.push(format!("only {reached} of {} messages in time", plan.messages));
    }
    let asked_again = shared.asked_again.load(Ordering::SeqCst);
    let took = started.elapsed();
    Ok(Done { ledger, daemon_kills, redis_kills, asked_again, refusals, took })
}

/// One or two kills of the daemon, and as many of Redis, each after so many messages.
fn strikes(plan: &Plan, has_redis: bool, random: &mut Random) -> Vec<(u64, Victim)> {
    let mut strikes = Vec::new();
    let victims = [(Victim::Daemon, true), (Victim::Redis, has_redis)];
    for (victim, _) in victims.into_iter().filter(|(_, exists)| *exists) {
        let times = 1 + random.below(2);
        strikes.extend((0..times).map(|_| (1 + random.below(plan.messages), victim)));
    }
    strikes.sort_by_key(|(after, _)| *after);
    strikes
}

fn strike_all(
    strikes: &[(u64, Victim)],
    tiers: &mut Tiers,
    shared: &Shared,
    random: &mut Random,
) -> Result<(u64, u64), Fault> {
    let started = Instant::now();
    for (after, victim) in strikes {
        shared.wait_until(*after, started);
        // Somewhere between two messages, not always just after one.
        thread::sleep(Duration::from_micros(random.below(20_000)));
        let pause = Duration::from_millis(random.below(300));
        match (victim, &mut tiers.redis) {
            (Victim::Redis, Some(redis)) => {
                redis.kill()?;
                thread::sleep(pause);
                redis.restart()?;
            }
            (Victim::Daemon | Victim::Redis, _) => tiers.daemon.kill_and_restart()?,
        }
    }
    let count = |victim| strikes.iter().filter(|(_, it)| *it == victim).count() as u64;
    Ok((count(Victim::Daemon), count(Victim::Redis)))
}

type Written = (Vec<Message>, Option<String>);

fn gather(plan: &Plan, written: Vec<(u32, Written)>) -> (Ledger, Vec<String>) {
    let mut refusals = Vec::new();
    let name = |session| Name { round: plan.number, session, writer: 0, number: 0 }.session();
    let mut sessions: Vec<_> = (0..plan.sessions).map(|it| (name(it), Vec::new())).collect();
    for (session, (messages, refusal)) in written {
        if let Some((_, all)) = sessions.get_mut(session as usize) {
            all.extend(messages);
        }
        refusals.extend(refusal);
    }
    (Ledger { sessions }, refusals)
}

impl Shared {
    /// Waits until so many messages are acknowledged, or the round is over its limit.
    fn wait_until(&self, messages: u64, started: Instant) {
        while self.stored.load(Ordering::SeqCst) < messages && started.elapsed() < self.plan.limit {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_over(&self) -> bool {
        self.plan.messages <= self.stored.load(Ordering::SeqCst)
            || self.is_late.load(Ordering::SeqCst)
    }
}

/// One of the writers of a session.
struct Writer<'a> {
    shared: &'a Shared,
    client: Client,
    random: Random,
    next: Name,
}

impl<'a> Writer<'a> {
    fn new(shared: &'a Shared, session: u32, writer: u32, random: Random) -> Self {
        let next = Name { round: shared.plan.number, session, writer, number: 0 };
        Self { shared, client: Client::new(shared.address.clone()), random, next }
    }

    /// Writes until the round is over; stops at a refusal.
    fn write(mut self) -> Written {
        let mut messages = Vec::new();
        while !self.shared.is_over() {
            match self.write_one() {
                Ok(message) => messages.push(message),
                Err(refusal) => return (messages, Some(refusal)),
            }
            self.next.number += 1;
        }
        (messages, None)
    }

    /// Sends one message until it is acknowledged; now and then gives up before, or sends it once more after.
    fn write_one(&mut self) -> Result<Message, String> {
        let (shared, name) = (self.shared, self.next);
        let mut message = Message { name, sent: shared.moments.now(), stored: None, answer: None };
        loop {
            let stream = self.random.one_in(2);
            let told = self.client.say(name, stream, &shared.moments);
            if let Some(refusal) = told.refusal {
                return Err(format!("{name:?}: {refusal}"));
            }
            if message.stored.is_none() && told.stored.is_some() {
                message.stored = told.stored;
                shared.stored.fetch_add(1, Ordering::SeqCst);
            }
            message.answer = message.answer.or(told.answer);
            let is_enough = match (message.stored, told.is_over) {
                (None, _) => self.random.one_in(30),
                (Some(_), false) => self.random.one_in(2),
                (Some(_), true) => !self.random.one_in(50),
            };
            if is_enough || shared.is_over() {
                return Ok(message);
            }
            shared.asked_again.fetch_add(1, Ordering::SeqCst);
            thread::sleep(PAUSE);
        }
    }
}
