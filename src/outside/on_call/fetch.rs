//! A file from an address: whole, in time and of bounded size, or not at all.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use crate::outside::tickets::http_connect::{Addresses, Tls, tls};
use crate::signer::key::read_secret;

/// How long it may take, from the look-up of the name to the last byte.
const DEADLINE: Duration = Duration::from_secs(20);

/// Reads what is at an address. Redirects are not followed, and what is packed is not unpacked.
pub(super) fn fetch(
    address: &str,
    token: Option<&Path>,
    ca_file: Option<&Path>,
    longest: u64,
) -> Result<String, String> {
    let config = Agent::config_builder()
        .tls_config(tls(ca_file)?)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_response_header_size(16 * 1024)
        .user_agent(concat!("hallpass/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .timeout_global(Some(DEADLINE))
        .max_idle_connections(0)
        .build();
    let addresses = Addresses { networks: Vec::new(), system: DefaultResolver::default() };
    let connector = ().chain(TcpConnector::default()).chain(Tls::default());
    let agent = Agent::with_parts(config, connector, addresses);
    let mut request = agent.get(address);
    if let Some(token) = token {
        let secret = read_secret(token)?;
        let secret = std::str::from_utf8(&secret).ok().map(str::trim);
        let secret =
            secret.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()));
        let secret = secret.ok_or_else(|| format!("{}: holds no token", token.display()))?;
        request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
    }
    let mut response = request.call().map_err(|why| why.to_string())?;
    if response.status() != 200 {
        return Err(format!("answers {}", response.status().as_u16()));
    }
    let packed = response.headers().get(header::CONTENT_ENCODING);
    if packed.is_some_and(|packed| packed != "identity") {
        return Err("has a content encoding that was not asked for".to_owned());
    }
    let mut text = String::new();
    let body = response.body_mut().as_reader().take(longest.saturating_add(1));
    let length = std::io::BufReader::new(body).read_to_string(&mut text);
    let length = length.map_err(|why| why.to_string())?;
    if u64::try_from(length).unwrap_or(u64::MAX) > longest {
        return Err(format!("longer than {longest} bytes"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::*;

    /// Answers one request so, and gives what was asked.
    fn served(answer: &'static [u8]) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/private-feed", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !asked.ends_with("\r\n\r\n") && reader.read_line(&mut asked).unwrap() > 0 {}
            stream.write_all(answer).ok();
            asked
        });
        (address, asked)
    }

    #[test]
    fn what_is_there_is_fetched_with_the_token_and_nothing_else_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        let mut file = std::fs::OpenOptions::new();
        let file = file.write(true).create_new(true).mode(0o600).open(&token);
        file.unwrap().write_all(b"s3cret-of-the-feed\n").unwrap();

        let (address, asked) = served(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nBEGIN");
        assert_eq!(fetch(&address, Some(&token), None, 5).as_deref(), Ok("BEGIN"));
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /private-feed HTTP/1.1\r\n"), "{asked}");
        assert!(
            asked.to_lowercase().contains("authorization: bearer s3cret-of-the-feed\r\n"),
            "{asked}"
        );

        for (answer, why) in [
            (&b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"[..], "answers 302"),
            (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "answers 401"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456", "longer than 5 bytes"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n12", ""),
            (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab", "content encoding"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe", ""),
            (b"nonsense\r\n\r\n", ""),
        ] {
            let (address, asked) = served(answer);
            let said = fetch(&address, Some(&token), None, 5);
            asked.join().unwrap();
            assert!(said.as_ref().is_err_and(|said| said.contains(why) && !said.contains("s3cret")), "{said:?}");
        }
        // The token's file must be nobody else's.
        std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        assert!(fetch("http://127.0.0.1:1/", Some(&token), None, 5).is_err());
    }
}
