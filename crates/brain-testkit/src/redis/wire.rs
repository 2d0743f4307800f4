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

    /// Everything that the keys hold, in an order that does not change, for comparing before and
    /// after: each key with its value as `DUMP` has it.
    pub fn contents(&mut self) -> Vec<(Vec<u8>, Reply)> {
        let keys = self.ask(&["KEYS", "*"]).array();
        let mut all: Vec<(Vec<u8>, Reply)> = keys
            .into_iter()
            .filter_map(|it| if let Reply::Bytes(key) = it { Some(key) } else { None })
            .map(|key| {
                self.send_bytes(&[b"DUMP", &key]).unwrap();
                let value = self.receive().unwrap();
                (key, value)
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
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
