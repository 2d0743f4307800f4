//! A server with one answer, which it gives in pieces.
//!
//! It is blocking, on a thread of its own; each connection serves one request.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Spelling, Then, Wire};

/// Longest wait for a client.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server; it ends when it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that answers with `spelling` in pieces of `size` bytes.
    pub(super) fn start(wire: Arc<dyn Wire>, spelling: Spelling, size: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&over);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if ending.load(Ordering::Acquire) {
                    return;
                }
                // A client that hangs up is no fault of the server.
                let _gone = stream.and_then(|it| serve(&it, wire.as_ref(), &spelling, size));
            }
        });
        Self { address, over, thread: Some(thread) }
    }

    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(super) fn address(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            thread.join().unwrap();
        }
    }
}

fn serve(stream: &TcpStream, wire: &dyn Wire, spelling: &Spelling, size: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let asked = read_request(stream)?;
    let aside = wire.aside(&asked).map(|it| Spelling::ok("application/json", it.to_string()));
    let (spelling, size) = aside.as_ref().map_or((spelling, size), |aside| (aside, usize::MAX));
    write(stream, spelling, size)?;
    if spelling.then == Then::Stall {
        // Until the client hangs up.
        io::copy(&mut &*stream, &mut io::sink())?;
    }
    stream.shutdown(Shutdown::Both)
}

fn write(mut stream: &TcpStream, spelling: &Spelling, size: usize) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", spelling.status);
    for (name, value) in &spelling.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("transfer-encoding: chunked\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    for piece in spelling.body.chunks(size) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        stream.write_all(&chunk)?;
    }
    if spelling.then == Then::End {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(())
}

/// Method and path of a request, whose body is read as well.
fn read_request(stream: &TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut asked, mut length) = (String::new(), 0);
    reader.read_line(&mut asked)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    let mut words = asked.split_whitespace();
    let (method, path) = (words.next(), words.next());
    Ok(format!("{} {}", method.unwrap_or_default(), path.unwrap_or_default()))
}
