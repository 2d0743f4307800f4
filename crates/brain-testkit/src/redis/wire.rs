//! A small client that looks into a server from a test; it is no driver.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use super::PATIENCE;

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A short text: `OK`.
    Status(String),
    /// A refusal, its code first.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing.
    Nil,
    /// Several.
    Array(Vec<Self>),
}

impl Reply {
    /// As text: of a status, an error, a number or bytes; empty otherwise.
    pub fn text(&self) -> String {
        match self {
            Self::Status(text) | Self::Error(text) => text.clone(),
            Self::Integer(number) => number.to_string(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Nil | Self::Array(_) => String::new(),
        }
    }

    /// The number.
    pub fn integer(&self) -> i64 {
        match self {
            Self::Integer(number) => *number,
            other => panic!("{other:?} is no number"),
        }
    }

    /// What is in the array.
    pub fn array(self) -> Vec<Self> {
        match self {
            Self::Array(replies) => replies,
            other => panic!("{other:?} is no array"),
        }
    }
}

/// A connection over the socket of a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    pub(super) fn connect(socket: &Path, password: Option<&str>) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self { stream: BufReader::new(stream) };
        if let Some(password) = password {
            client.send(&["AUTH", password])?;
            client.receive()?;
        }
        Ok(client)
    }

    /// Sends a command and reads its reply; an error is a reply, a broken connection too.
    pub fn ask(&mut self, command: &[&str]) -> Reply {
        let reply = self.send(command).and_then(|()| self.receive());
        reply.unwrap_or_else(|error| Reply::Error(format!("CONNECTION {error}")))
    }

    /// Each key with its value as `DUMP` has it, by key; for looking for bytes.
    pub fn contents(&mut self) -> Vec<(Vec<u8>, Reply)> {
        let mut keys: Vec<Vec<u8>> = self.all(&[b"KEYS", b"*"]);
        keys.sort();
        let dump = |key: Vec<u8>| {
            self.send_bytes(&[b"DUMP", &key]).unwrap();
            (key, self.receive().unwrap())
        };
        keys.into_iter().map(dump).collect()
    }

    /// Each key with its value, by key, in an order that does not change; for comparing before and
    /// after.
    pub fn values(&mut self) -> Vec<(Vec<u8>, Vec<Vec<u8>>)> {
        let mut keys: Vec<Vec<u8>> = self.all(&[b"KEYS", b"*"]);
        keys.sort();
        keys.into_iter().map(|it| (it.clone(), self.value(&it))).collect()
    }

    fn value(&mut self, key: &[u8]) -> Vec<Vec<u8>> {
        self.send_bytes(&[b"TYPE", key]).unwrap();
        match self.receive().unwrap().text().as_str() {
            "string" => self.all(&[b"MGET", key]),
            "zset" => self.all(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]),
            "set" => {
                let mut members = self.all(&[b"SMEMBERS", key]);
                members.sort();
                members
            }
            "hash" => {
                let fields = self.all(&[b"HGETALL", key]);
                let mut pairs: Vec<&[Vec<u8>]> = fields.chunks(2).collect();
                pairs.sort();
                pairs.concat()
            }
            other => panic!("no store keeps a {other}"),
        }
    }

    /// The bytes in the array that answers a command.
    fn all(&mut self, command: &[&[u8]]) -> Vec<Vec<u8>> {
        self.send_bytes(command).unwrap();
        let replies = self.receive().unwrap().array();
        let bytes = |it| if let Reply::Bytes(bytes) = it { Some(bytes) } else { None };
        replies.into_iter().filter_map(bytes).collect()
    }

    pub(super) fn send(&mut self, command: &[&str]) -> io::Result<()> {
        let command: Vec<&[u8]> = command.iter().map(|it| it.as_bytes()).collect();
        self.send_bytes(&command)
    }

    fn send_bytes(&mut self, command: &[&[u8]]) -> io::Result<()> {
        let mut packed = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            packed.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            packed.extend_from_slice(part);
            packed.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&packed)
    }

    pub(super) fn receive(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or(io::ErrorKind::UnexpectedEof)?;
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            "+" => Reply::Status(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bytes(bytes)
                }
                Err(_negative) => Reply::Nil,
            },
            "*" => match usize::try_from(number()?) {
                Ok(length) => Reply::Array(
                    (0..length).map(|_| self.receive()).collect::<io::Result<Vec<Reply>>>()?,
                ),
                Err(_negative) => Reply::Nil,
            },
            other => return Err(io::Error::other(format!("{other} is no reply"))),
        })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    pub(super) fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }
}
