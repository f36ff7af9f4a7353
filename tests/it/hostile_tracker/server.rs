//! Servers for trackers to be asked at: one that answers well or as badly as it is told to, and a canary.

use std::io::{BufRead as _, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a server does with a request.
#[derive(Clone)]
pub enum Does {
    /// Answers with JSON; `{number}` in it is the last number of the request's path.
    Json(String),
    /// Sends the bytes of the request's line; 404 for any other.
    Lines(Vec<(String, Vec<u8>)>),
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Sends these bytes, says that no more come, and goes on listening.
    Half(Vec<u8>),
    /// Sends the first, then the second again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends the bytes, then one byte of the second a second.
    Drip(Vec<u8>, Vec<u8>),
    /// Says nothing.
    Silent,
}

/// A server, and what it was asked.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    pub does: Arc<Mutex<Does>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub fn start(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, does: Arc::new(Mutex::new(does)), asked: Arc::default() };
        let serving = server.clone();
        // It ends with the test's process; no connection outlives a minute.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(&stream));
            }
        });
        server
    }

    pub fn now(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    /// The requests' lines, without the version; they are forgotten here.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let minute = Some(Duration::from_secs(60));
        stream.set_read_timeout(minute).unwrap();
        stream.set_write_timeout(minute).unwrap();
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
            let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
            let mut header = line.clone();
            while !header.trim().is_empty() {
                header.clear();
                reader.read_line(&mut header).ok().filter(|length| *length > 0)?;
            }
            let number: String = line.chars().filter(char::is_ascii_digit).collect();
            self.asked.lock().unwrap().push(line.clone());
            let does = self.does.lock().unwrap().clone();
            answer(stream, &does, &line, &number)?;
        }
    }
}

fn answer(mut stream: &TcpStream, does: &Does, line: &str, number: &str) -> Option<()> {
    match does {
        Does::Json(body) => {
            stream.write_all(&json(&body.replace("{number}", number))).ok()?;
            return Some(());
        }
        Does::Lines(lines) => {
            let none = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
            let found = lines.iter().find(|(asked, _)| asked == line);
            stream.write_all(found.map_or(&none, |(_, bytes)| bytes)).ok()?;
            return Some(());
        }
        Does::Bytes(bytes) => stream.write_all(bytes).ok()?,
        Does::Half(bytes) => {
            stream.write_all(bytes).ok()?;
            stream.shutdown(Shutdown::Write).ok()?;
            std::io::Read::read(&mut stream, &mut [0]).ok();
        }
        Does::Endless(first, again) => {
            stream.write_all(first).ok()?;
            while stream.write_all(again).is_ok() {}
        }
        Does::Drip(first, bytes) => {
            stream.write_all(first).ok()?;
            for byte in bytes.iter().cycle().take(60) {
                stream.write_all(&[*byte]).ok()?;
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        Does::Silent => {
            // Until the other end goes.
            std::io::Read::read(&mut stream, &mut [0]).ok();
        }
    }
    None
}

/// A good answer with this body.
pub fn json(body: &str) -> Vec<u8> {
    packed("", body.as_bytes())
}

/// The same with more headers.
pub fn packed(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Something that nobody may connect to, on another address of this machine.
pub struct Canary {
    pub address: SocketAddr,
    visits: Arc<AtomicUsize>,
}

impl Canary {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").unwrap();
        let address = listener.local_addr().unwrap();
        let visits = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&visits);
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, visits }
    }

    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }
}

/// A server that takes connections and sends these bytes, one a second.
pub fn raw(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                for second in 0..60 {
                    if let Some(byte) = bytes.get(second) {
                        stream.write_all(&[*byte]).ok()?;
                    }
                    std::thread::sleep(Duration::from_secs(1));
                }
                Some(())
            });
        }
    });
    address
}

/// A server that speaks TLS and answers every request with this body.
pub fn tls(body: &str) -> SocketAddr {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let file = |name: &str| crate::process::repository("tests/it/hostile_tracker/tls").join(name);
    let chain = vec![CertificateDer::from_pem_file(file("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("test-only-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (config, answer) = (Arc::new(config), json(body));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (config, answer) = (Arc::clone(&config), answer.clone());
            std::thread::spawn(move || {
                let session = rustls::ServerConnection::new(config).ok()?;
                let mut reader = BufReader::new(rustls::StreamOwned::new(session, stream));
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
                    if line.trim().is_empty() {
                        reader.get_mut().write_all(&answer).ok()?;
                        reader.get_mut().flush().ok()?;
                    }
                }
                #[allow(unreachable_code)]
                Some(())
            });
        }
    });
    address
}
