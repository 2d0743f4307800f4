//! A proxy before a server that loses what it is told to lose.
//!
//! It knows nothing of the protocol but that a request comes in one piece, and its reply after it.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{PATIENCE, Server};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The server gets it and does it; the connection ends before the reply.
    Reply,
    /// The connection ends before the server gets it.
    Request,
}

/// Which request it happens to.
#[derive(Clone, Copy, Debug)]
enum Which {
    /// The next one that holds this text.
    Holds(&'static [u8]),
    /// The next one after so many.
    After(usize),
}

#[derive(Debug, Default)]
struct Plan {
    loss: Mutex<Option<(Loss, Which)>>,
    delay: Mutex<Duration>,
    lost: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
}

impl Plan {
    /// What to do with these bytes of a client.
    fn loss_of(&self, bytes: &[u8]) -> Option<Loss> {
        let mut planned = self.loss.lock().unwrap();
        let (loss, which) = (*planned)?;
        match which {
            Which::Holds(text) if !bytes.windows(text.len()).any(|it| it == text) => return None,
            Which::After(count @ 1..) => {
                *planned = Some((loss, Which::After(count - 1)));
                return None;
            }
            Which::Holds(_) | Which::After(_) => {}
        }
        *planned = None;
        self.lost.fetch_add(1, Ordering::Relaxed);
        Some(loss)
    }
}

/// A proxy on 127.0.0.1.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    port: u16,
    plan: Arc<Plan>,
    listener: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy before this server, that loses nothing yet.
    pub fn before(server: &Server) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::new(Plan::default());
        let (target, shared) = (server.port(), Arc::clone(&plan));
        let listen = move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                // A client of a server that is not there sees its connection end.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", target)) {
                    serve(client, server, &shared);
                }
            }
        };
        let listener = Some(std::thread::spawn(listen));
        Self { url: server.url_on(port), port, plan, listener }
    }

    /// Where clients find the server through it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends the connection of the next request that holds `text`, when the server has done it and
    /// before the client knows.
    pub fn lose_reply(&self, text: &'static str) {
        self.plan(Loss::Reply, Which::Holds(text.as_bytes()));
    }

    /// Ends the connection of the next request that holds `text`, before the server gets it.
    pub fn lose_request(&self, text: &'static str) {
        self.plan(Loss::Request, Which::Holds(text.as_bytes()));
    }

    /// The same for whatever request comes after `count` others.
    pub fn lose_after(&self, count: usize, loss: Loss) {
        self.plan(loss, Which::After(count));
    }

    /// Loses nothing more; whether what was planned had happened.
    pub fn lose_nothing(&self) -> bool {
        self.plan.loss.lock().unwrap().take().is_none()
    }

    fn plan(&self, loss: Loss, which: Which) {
        *self.plan.loss.lock().unwrap() = Some((loss, which));
    }

    /// Holds every request back for so long.
    pub fn delay(&self, delay: Duration) {
        *self.plan.delay.lock().unwrap() = delay;
    }

    /// How many requests or replies were lost.
    pub fn lost(&self) -> usize {
        self.plan.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.plan.closed.store(true, Ordering::SeqCst);
        for connection in self.plan.connections.lock().unwrap().drain(..) {
            drop(connection.shutdown(Shutdown::Both));
        }
        // Wakes the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(listener) = self.listener.take() {
            drop(listener.join());
        }
    }
}

fn serve(client: TcpStream, server: TcpStream, plan: &Arc<Plan>) {
    let streams = [&client, &server].map(|it| it.try_clone().unwrap());
    plan.connections.lock().unwrap().extend(streams);
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    let (mut from_client, mut to_client) = (client.try_clone().unwrap(), client);
    let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
    let muted = Arc::new(AtomicBool::new(false));
    let mute = Arc::clone(&muted);
    let plan = Arc::clone(plan);
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_client.read(&mut bytes) {
            let delay = *plan.delay.lock().unwrap();
            std::thread::sleep(delay);
            match plan.loss_of(&bytes[..length]) {
                Some(Loss::Request) => break,
                Some(Loss::Reply) => mute.store(true, Ordering::SeqCst),
                None => {}
            }
            if to_server.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        drop(to_server.shutdown(Shutdown::Both));
        drop(from_client.shutdown(Shutdown::Both));
    });
    std::thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_server.read(&mut bytes) {
            if muted.load(Ordering::SeqCst) || to_client.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        drop(to_client.shutdown(Shutdown::Both));
        drop(from_server.shutdown(Shutdown::Both));
    });
}
