//! A Lua script and the name by which Redis knows it; it is no script of ours in particular.

/// A script that runs by its digest, and by its text where Redis has not seen it yet.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    /// A script of this text. It names its keys, touches those of one session or owner only, and
    /// checks everything before it writes anything, since Redis rolls nothing back.
    pub(crate) fn new(text: &'static str) -> Self {
        let digest = redis::Script::new(text).get_hash().to_owned();
        Self { text, digest }
    }

    /// Runs it by its digest; `NOSCRIPT` is the answer where it is not known.
    pub(super) fn by_digest(&self, keys: &[Vec<u8>], args: &[Vec<u8>]) -> redis::Cmd {
        Self::call("EVALSHA", &self.digest, keys, args)
    }

    /// Runs it by its text, which is known from then on.
    pub(super) fn by_text(&self, keys: &[Vec<u8>], args: &[Vec<u8>]) -> redis::Cmd {
        Self::call("EVAL", self.text, keys, args)
    }

    fn call(name: &str, script: &str, keys: &[Vec<u8>], args: &[Vec<u8>]) -> redis::Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(keys.len()).arg(keys).arg(args);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::Script;

    #[test]
    fn arguments_stand_where_redis_wants_them() {
        let script = Script::new("return 1");
        let packed = script.by_text(&[b"k".to_vec()], &[b"a\r\n".to_vec()]).get_packed_command();
        let expected =
            "*5\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\nk\r\n$3\r\na\r\n\r\n";
        assert_eq!(String::from_utf8(packed).unwrap(), expected);
        let packed = script.by_digest(&[], &[]).get_packed_command();
        let expected = "*3\r\n$7\r\nEVALSHA\r\n$40\r\ne0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n\
                        $1\r\n0\r\n";
        assert_eq!(String::from_utf8(packed).unwrap(), expected);
    }
}
