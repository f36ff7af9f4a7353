//! How a tracker is connected to: addresses that may be, TLS with the authorities that vouch for it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ureq::http::Uri;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport,
};

use crate::certificate::cidr::Cidr;

/// Finds a tracker's addresses and gives those alone that it may have: what was checked is what is
/// connected to, whatever the name means a moment later.
pub(in crate::outside) struct Addresses {
    pub(in crate::outside) networks: Vec<Cidr>,
    pub(in crate::outside) system: DefaultResolver,
}

/// The tracker's name led to none of the networks that it may be in.
#[derive(Debug)]
pub(in crate::outside) struct Elsewhere(String);

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Elsewhere {}

impl Resolver for Addresses {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let all = self.system.resolve(uri, config, timeout)?;
        // What is not encrypted stays on this machine.
        let plain = uri.scheme_str() == Some("http");
        let mut good = self.empty();
        for address in all.iter().copied() {
            let ip = address.ip().to_canonical();
            let listed =
                self.networks.is_empty() || self.networks.iter().any(|net| net.contains(ip));
            if listed && (!plain || ip.is_loopback()) {
                good.push(address);
            }
        }
        if good.is_empty() {
            let all: Vec<String> = all.iter().map(|address| address.ip().to_string()).collect();
            let why = format!("{} is at {}", uri.host().unwrap_or_default(), all.join(", "));
            return Err(ureq::Error::Other(Box::new(Elsewhere(why))));
        }
        Ok(good)
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").field("networks", &self.networks).finish()
    }
}

/// TLS whose configuration is made once. ureq would make it anew for each connection, because each call
/// has a deadline of its own and so a configuration of its own; the TLS part is the same in all.
#[derive(Debug, Default)]
pub(in crate::outside) struct Tls(RustlsConnector);

impl<In: Transport> Connector<In> for Tls {
    type Out = <RustlsConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let shared = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            resolver: details.resolver,
            config: details.config,
            request_level: false,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        self.0.connect(&shared, chained)
    }
}

/// The authorities that vouch for a tracker: those of a file, or the system's.
pub(in crate::outside) fn tls(ca_file: Option<&Path>) -> Result<TlsConfig, String> {
    let roots = match ca_file {
        Some(file) => authorities(file)?,
        None => {
            let found = BUNDLES.iter().map(Path::new).find(|file| file.exists());
            let file = found.ok_or_else(|| {
                "the system has no list of authorities (Debian: apt-get install ca-certificates); or name one \
                 with ca_file"
                    .to_owned()
            })?;
            authorities(file)?
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

fn authorities(file: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let say = |why: &dyn fmt::Display| format!("{}: {why}", file.display());
    let pem = std::fs::read(file).map_err(|why| say(&why))?;
    let mut all = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(one) = item.map_err(|why| say(&why))? {
            all.push(one);
        }
    }
    if all.is_empty() {
        return Err(say(&"has no certificate in PEM"));
    }
    Ok(all)
}

/// Where systems keep their list: Debian, Fedora, openSUSE, Alpine.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
