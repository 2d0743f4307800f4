//! A Redis server that can be killed and comes back on its port.
//!
//! It saves itself every second, so that what it holds after a kill is *old*: a store that trusts it shows old histories.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::Fault;

/// How long it may take to answer after its start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a process of its own, which ends with this value.
#[derive(Debug)]
pub(super) struct Redis {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Redis {
    pub(super) fn start(folder: &Path) -> Result<Self, Fault> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let child = spawn(folder, port)?;
        Ok(Self { child, port, folder: folder.to_owned() })
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) -> Result<(), Fault> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(super) fn restart(&mut self) -> Result<(), Fault> {
        self.child = spawn(&self.folder, self.port)?;
        Ok(())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.kill());
    }
}

fn spawn(folder: &Path, port: u16) -> Result<Child, Fault> {
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--save", "1 1", "--appendonly", "no", "--port"])
        .arg(port.to_string())
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("redis-server: {error}"))?;
    let started = Instant::now();
    while !is_answering(port) {
        if started.elapsed() > PATIENCE || child.try_wait()?.is_some() {
            child.kill()?;
            return Err(format!("redis-server does not answer on port {port}").into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(child)
}

fn is_answering(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    ask().is_ok_and(|answer| &answer == b"+PONG")
}
