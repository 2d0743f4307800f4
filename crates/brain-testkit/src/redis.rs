//! Real Redis servers for tests: started on free ports, ended with the test.
//!
//! It drives servers and looks into them with a client of its own; no store is here. The program is
//! `redis-server`, or what `CODEXD_TEST_REDIS_SERVER` names: another version, or Valkey. A missing
//! one fails the test.

mod certificates;
mod cluster;
mod monitor;
mod prefix;
mod process;
mod proxy;
mod sentinel;
mod wire;

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use self::{certificates::Certificates, process::Process};
pub use self::{
    cluster::Cluster,
    monitor::Monitor,
    prefix::Prefix,
    proxy::{Loss, Proxy},
    sentinel::Sentinel,
    wire::{Client, Reply},
};

/// Longest that a server may take to start or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How often a server is started on another port because something took the one it was to have.
const TRIES: usize = 5;
/// Ports below those that systems give to outgoing connections, with room for the bus of a cluster
/// 10,000 above.
const PORTS: std::ops::Range<u32> = 11_000..22_000;

/// The program that is the server.
fn program() -> OsString {
    std::env::var_os("CODEXD_TEST_REDIS_SERVER").unwrap_or_else(|| "redis-server".into())
}

/// What the server says of its version: `Redis server v=7.0.15 …`.
pub fn version() -> String {
    let program = program();
    let output = Command::new(&program).arg("--version").output().unwrap_or_else(|error| {
        panic!(
            "{} cannot be run ({error}): install it with apt-get install redis-server, or name \
             another one in CODEXD_TEST_REDIS_SERVER",
            program.display()
        )
    });
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    password: Option<String>,
    certificates: Option<Arc<Certificates>>,
    arguments: Vec<String>,
    configuration: String,
}

impl Settings {
    /// Nothing is kept on disk, there is no password and no TLS.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wants this password of everybody.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Speaks TLS on its port, with a certificate of an authority that is made here.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.certificates = Some(Arc::new(Certificates::make()));
        self
    }

    /// Any setting of `redis.conf`: `.set("maxmemory", "8mb")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([format!("--{name}"), value.to_owned()]);
        self
    }

    /// Keeps every change on disk before it answers, so that a restart loses nothing.
    #[must_use]
    pub fn durable(self) -> Self {
        self.set("appendonly", "yes").set("appendfsync", "always")
    }

    /// Starts it and waits until it answers.
    pub fn start(self) -> Server {
        Server::begin(self)
    }
}

/// A running server. Ended when dropped, also by a panic; a test that is killed leaves it running
/// for a quarter of an hour at most.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    folder: tempfile::TempDir,
    port: u16,
    process: Mutex<Process>,
}

impl Server {
    /// A server with nothing special.
    pub fn start() -> Self {
        Settings::new().start()
    }

    /// The server of all cases of this process that run now, each with a [`Prefix`]; what `DUMP`
    /// says of it is what it holds, byte by byte.
    pub fn shared() -> Arc<Self> {
        static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut server = SERVER.lock().unwrap();
        if let Some(running) = server.upgrade() {
            return running;
        }
        let started = Arc::new(Settings::new().set("rdbcompression", "no").start());
        *server = Arc::downgrade(&started);
        started
    }

    fn begin(settings: Settings) -> Self {
        let version = version();
        assert!(!version.is_empty(), "the server does not say its version");
        let folder = tempfile::Builder::new().prefix("redis").tempdir().unwrap();
        let mut said = String::new();
        for _ in 0..TRIES {
            let port = free_port();
            let process = launch(&settings, folder.path(), port);
            match wait_for(&process, folder.path(), settings.password.as_deref()) {
                Ok(()) => {
                    let process = Mutex::new(process);
                    return Self { settings, folder, port, process };
                }
                Err(problem) => said = problem,
            }
        }
        panic!("{version} did not start: {said}");
    }

    /// Where clients find it, with the password and the authority of its certificate.
    pub fn url(&self) -> String {
        self.url_on(self.port)
    }

    /// The same with another port, for a proxy before it.
    pub(crate) fn url_on(&self, port: u16) -> String {
        let login = self.login();
        match &self.settings.certificates {
            Some(certificates) => {
                let authority = certificates.authority().display().to_string();
                format!("rediss://{login}127.0.0.1:{port}?ssl_ca_certs={authority}")
            }
            None => format!("redis://{login}127.0.0.1:{port}"),
        }
    }

    /// Where clients of this machine find it.
    pub fn socket_url(&self) -> String {
        let password = self.settings.password.as_ref().map(|it| format!("?pass={it}"));
        format!("unix://{}{}", socket(self.folder.path()).display(), password.unwrap_or_default())
    }

    fn login(&self) -> String {
        self.settings.password.as_ref().map_or(String::new(), |it| format!(":{it}@"))
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its working folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection to look into it.
    pub fn client(&self) -> Client {
        Client::connect(&socket(self.folder.path()), self.settings.password.as_deref()).unwrap()
    }

    /// Asks one thing on a connection of its own.
    pub fn ask(&self, command: &[&str]) -> Reply {
        self.client().ask(command)
    }

    /// Begins to record what it is sent, by clients and by scripts.
    pub fn monitor(&self) -> Monitor {
        Monitor::begin(self.client())
    }

    /// Ends it as an operator does; what it keeps on disk is there.
    pub fn stop(&self) {
        self.process.lock().unwrap().end(false);
    }

    /// Ends it as a power cut does.
    pub fn kill(&self) {
        self.process.lock().unwrap().end(true);
    }

    /// Starts it again at the same place, and waits until it answers; ends it first if it runs.
    pub fn restart(&self) {
        let mut process = self.process.lock().unwrap();
        process.end(false);
        let mut said = String::new();
        // The system may hold the port for a moment after a kill.
        for _ in 0..TRIES {
            *process = launch(&self.settings, self.folder.path(), self.port);
            match wait_for(&process, self.folder.path(), self.settings.password.as_deref()) {
                Ok(()) => return,
                Err(problem) => said = problem,
            }
        }
        panic!("the server did not start again: {said}");
    }

    /// The same, but waits only until it takes connections: it may still be loading.
    pub fn restart_loading(&self) {
        let mut process = self.process.lock().unwrap();
        process.end(false);
        *process = launch(&self.settings, self.folder.path(), self.port);
        let begin = Instant::now();
        while Client::connect(&socket(self.folder.path()), None).is_err() {
            assert!(begin.elapsed() < PATIENCE, "the server takes no connections");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Freezes it: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.process.lock().unwrap().freeze();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.process.lock().unwrap().thaw();
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        log_of(self.folder.path())
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("s")
}

fn log_of(folder: &Path) -> String {
    let log = fs::read(folder.join("log")).unwrap_or_default();
    String::from_utf8_lossy(&log).into_owned()
}

fn launch(settings: &Settings, folder: &Path, port: u16) -> Process {
    drop(fs::remove_file(socket(folder)));
    let mut command = Command::new(program());
    if !settings.configuration.is_empty() {
        let file = folder.join("conf");
        if !file.exists() {
            fs::write(&file, &settings.configuration).unwrap();
        }
        command.arg(file);
    }
    let port = port.to_string();
    let plain = if settings.certificates.is_some() { "0" } else { &port };
    command.args(["--port", plain, "--bind", "127.0.0.1", "--daemonize", "no"]);
    command.arg("--dir").arg(folder).arg("--unixsocket").arg(socket(folder));
    command.arg("--logfile").arg(folder.join("log"));
    if settings.configuration.is_empty() {
        command.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
    }
    if let Some(certificates) = &settings.certificates {
        command.args(["--tls-port", &port]).args(certificates.arguments());
    }
    if let Some(password) = &settings.password {
        command.args(["--requirepass", password, "--masterauth", password]);
    }
    command.args(&settings.arguments);
    Process::spawn(command)
}

/// Waits until the server answers; says what is wrong if it does not.
fn wait_for(process: &Process, folder: &Path, password: Option<&str>) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        if let Ok(mut client) = Client::connect(&socket(folder), password)
            && client.ask(&["PING"]) == Reply::Status("PONG".to_owned())
        {
            return Ok(());
        }
        if process.has_ended() || begin.elapsed() > PATIENCE {
            return Err(log_of(folder));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port that nobody listens on now, and whose neighbour for the bus of a cluster is free too.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let span = PORTS.end - PORTS.start;
    let start = std::process::id().wrapping_mul(97);
    for _ in 0..span {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % span;
        let port = u16::try_from(PORTS.start + offset).unwrap();
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
    panic!("no port is free");
}
