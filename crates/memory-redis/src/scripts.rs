//! The scripts that run in Redis: one for each change of a session that must be whole.
//!
//! Each begins with what all of them know (`lua/state.lua`), and names its keys. They keep to what
//! Redis 6.2 understands.

use std::sync::LazyLock;

use crate::connect::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)+) => {
        $(
            $(#[$doc])*
            pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
                Script::new(concat!(include_str!("lua/state.lua"), include_str!($file)))
            });
        )+
    };
}

scripts! {
    APPEND = "lua/append.lua";
    LOOK = "lua/look.lua";
    COMMIT = "lua/commit.lua";
    STAGE = "lua/stage.lua";
    CARRY = "lua/carry.lua";
    PUT = "lua/put.lua";
    REVEAL = "lua/reveal.lua";
    ABANDON = "lua/abandon.lua";
    READ = "lua/read.lua";
    SCAN = "lua/scan.lua";
    FILL = "lua/fill.lua";
    ADVANCE = "lua/advance.lua";
    BURY = "lua/bury.lua";
    EMBED = "lua/embed.lua";
    FORGET = "lua/forget.lua";
    OWE = "lua/owe.lua";
    LEAVE = "lua/leave.lua";
    VOID = "lua/void.lua";
    CLAIM = "lua/claim.lua";
    NOTE = "lua/note.lua";
    MOVE = "lua/move.lua";
    TOUCH = "lua/touch.lua";
    /// What a check of health does.
    PROBE = "lua/probe.lua";
    PRUNE = "lua/prune.lua";
    PAGE = "lua/page.lua";
    END = "lua/end.lua";
    RESCORE = "lua/rescore.lua";
}
