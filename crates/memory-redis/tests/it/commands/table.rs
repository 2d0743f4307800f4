//! The commands of Redis that we send, with the versions that brought them and their options.

/// One command.
struct Command {
    name: &'static str,
    since: (u8, u8, u8),
    /// Words that must follow, and how many of the last ones may come again.
    words: (usize, usize),
    /// Options after them: name, words that follow it, since when.
    options: &'static [(&'static str, usize, (u8, u8, u8))],
}

const fn command(
    name: &'static str,
    since: (u8, u8, u8),
    words: (usize, usize),
    options: &'static [(&'static str, usize, (u8, u8, u8))],
) -> Command {
    Command { name, since, words, options }
}

/// From <https://redis.io/docs/latest/commands/>, as of Redis 6.2. `KEYS`, `HGETALL`, `FLUSHALL`
/// and whatever else costs what is stored, not what is asked, has no place here.
const TABLE: &[Command] = &[
    command("DEL", (1, 0, 0), (1, 1), &[]),
    command("EXISTS", (1, 0, 0), (1, 1), &[]),
    command("GET", (1, 0, 0), (1, 0), &[]),
    command("HDEL", (2, 0, 0), (2, 1), &[]),
    command("HEXISTS", (2, 0, 0), (2, 0), &[]),
    command("HGET", (2, 0, 0), (2, 0), &[]),
    command("HLEN", (2, 0, 0), (1, 0), &[]),
    command("HMGET", (2, 0, 0), (2, 1), &[]),
    command("HSCAN", (2, 8, 0), (2, 0), &[("MATCH", 1, (2, 8, 0)), ("COUNT", 1, (2, 8, 0))]),
    // Several fields at once since 4.0.0.
    command("HSET", (4, 0, 0), (3, 2), &[]),
    command("PERSIST", (2, 2, 0), (1, 0), &[]),
    // Its options came with 7.0.
    command("PEXPIRE", (2, 6, 0), (2, 0), &[]),
    command("RENAME", (1, 0, 0), (2, 0), &[]),
    command("RENAMENX", (1, 0, 0), (2, 0), &[]),
    command("SADD", (1, 0, 0), (2, 1), &[]),
    command("SET", (1, 0, 0), (2, 0), &[("PX", 1, (2, 6, 12)), ("NX", 0, (2, 6, 12))]),
    command("SISMEMBER", (1, 0, 0), (2, 0), &[]),
    command("TIME", (2, 6, 0), (0, 0), &[]),
    command("UNLINK", (4, 0, 0), (1, 1), &[]),
    command("ZADD", (1, 2, 0), (3, 2), &[]),
    command("ZCARD", (1, 2, 0), (1, 0), &[]),
    command("ZRANGE", (1, 2, 0), (3, 0), &[("WITHSCORES", 0, (1, 2, 0))]),
    command(
        "ZRANGEBYSCORE",
        (1, 0, 5),
        (3, 0),
        &[("WITHSCORES", 0, (2, 0, 0)), ("LIMIT", 2, (1, 0, 5))],
    ),
    command("ZREM", (1, 2, 0), (2, 1), &[]),
    command("ZREMRANGEBYSCORE", (1, 2, 0), (3, 0), &[]),
    command("ZREVRANGE", (1, 2, 0), (3, 0), &[("WITHSCORES", 0, (1, 2, 0))]),
    command("ZSCORE", (1, 2, 0), (2, 0), &[]),
    command("EVAL", (2, 6, 0), (2, 1), &[]),
    command("EVALSHA", (2, 6, 0), (2, 1), &[]),
    // One section at most before 7.0.
    command("INFO", (1, 0, 0), (0, 0), &[("everything", 0, (6, 0, 0))]),
    // What connecting needs.
    command("AUTH", (1, 0, 0), (1, 0), &[]),
    command("SELECT", (1, 0, 0), (1, 0), &[]),
    command("PING", (1, 0, 0), (0, 0), &[]),
    command("CLUSTER", (3, 0, 0), (0, 0), &[("SLOTS", 0, (3, 0, 0))]),
    command("ROLE", (2, 8, 12), (0, 0), &[]),
];

/// What connections need, or nothing does: only others can tell whether it is refused.
const NOT_PROBED: [&str; 5] = ["AUTH", "CLUSTER", "INFO", "ROLE", "SELECT"];

/// The commands without which something of a store would not work on one server.
pub(crate) fn needed() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|it| it.name).filter(|it| !NOT_PROBED.contains(it))
}

/// The version that the table is of.
const VERSION: (u8, u8, u8) = (6, 2, 0);

/// Whether Redis 6.2 knows this command with these words.
pub(crate) fn check(words: &[String]) -> Result<(), String> {
    if is_ignored(words) {
        return Ok(());
    }
    let name = words[0].to_uppercase();
    let shown = words.iter().map(|it| it.chars().take(20).collect()).collect::<Vec<String>>();
    let wrong = |what: &str| Err(format!("{}: {what}", shown[..shown.len().min(8)].join(" ")));
    let Some(command) = TABLE.iter().find(|it| it.name == name) else {
        return wrong("not in the table");
    };
    let rest = &words[1..];
    let (least, again) = command.words;
    if rest.len() < least {
        return wrong("too few words");
    }
    let more = &rest[least..];
    if again == 0 {
        return command.check_options(more).or_else(wrong);
    }
    if !more.len().is_multiple_of(again) { wrong("words are missing") } else { Ok(()) }
}

/// What is not ours: replicas and sentinels among themselves, and what the driver of clusters says
/// of itself to servers from 7.2 on; it reads no reply to it.
fn is_ignored(words: &[String]) -> bool {
    let word = |index: usize| words.get(index).map_or(String::new(), |it| it.to_uppercase());
    match word(0).as_str() {
        "CLIENT" => word(1) == "SETINFO" && words.len() == 4,
        "PUBLISH" | "REPLCONF" | "SUBSCRIBE" => true,
        "INFO" => words.len() == 1,
        _ => false,
    }
}

impl Command {
    fn check_options(&self, mut words: &[String]) -> Result<(), &'static str> {
        while let Some((first, rest)) = words.split_first() {
            let option = self.options.iter().find(|it| it.0.eq_ignore_ascii_case(first));
            let Some((_, follow, _)) = option else { return Err("an option that 6.2 lacks") };
            let Some(rest) = rest.get(*follow..) else { return Err("an option without its word") };
            words = rest;
        }
        Ok(())
    }
}

#[test]
fn the_table_is_of_6_2() {
    for command in TABLE {
        assert!(command.since <= VERSION, "{}", command.name);
        assert!(command.options.iter().all(|it| it.2 <= VERSION), "{}", command.name);
        assert!(command.words.1 == 0 || command.options.is_empty(), "{}", command.name);
    }
    assert!(TABLE.iter().all(|it| !matches!(it.name, "KEYS" | "HGETALL" | "SCAN")));
}
