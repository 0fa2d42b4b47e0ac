//! Which proxy, if any, stands between us and a server: the rules of Go's `net/http` that kubectl follows.
//!
//! kube matches `NO_PROXY` against the proxy's own address and stumbles over a trailing comma, so it isn't asked.

use std::net::IpAddr;

use http::Uri;

use super::Environment;
use crate::error::ConnectError;

/// The proxy for `server`: the cluster's own `proxy-url`, else the environment's unless `NO_PROXY` names the server.
pub(super) fn choose(
    server: &Uri,
    cluster_proxy: Option<&str>,
    environment: &Environment,
) -> Result<Option<Uri>, ConnectError> {
    if let Some(proxy) = cluster_proxy.filter(|proxy| !proxy.is_empty()) {
        return parse(proxy).map(Some);
    }
    let variable = if server.scheme_str() == Some("http") { &environment.http_proxy } else { &environment.https_proxy };
    match variable {
        Some(proxy) if !is_exempt(server, environment.no_proxy.as_deref().unwrap_or_default()) => {
            parse(proxy).map(Some)
        }
        _ => Ok(None),
    }
}

/// A proxy may be written without its scheme; then it is `http`.
fn parse(proxy: &str) -> Result<Uri, ConnectError> {
    let url = match proxy.split_once("://") {
        // The client resolves names at the proxy for both.
        Some(("socks5h", rest)) => format!("socks5://{rest}"),
        Some(_) => proxy.to_owned(),
        None => format!("http://{proxy}"),
    };
    url.parse::<Uri>()
        .ok()
        .filter(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https" | "socks5")))
        .ok_or_else(|| ConnectError::InvalidProxy(without_password(proxy)))
}

/// A proxy's URL for an error message: what stands before the `@` may be a password.
fn without_password(proxy: &str) -> String {
    match (proxy.split_once("://"), proxy.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        _ => proxy.to_owned(),
    }
}

/// The server is this machine or matches an entry of `NO_PROXY`.
fn is_exempt(server: &Uri, no_proxy: &str) -> bool {
    let Some(host) = server.host() else { return true };
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    no_proxy
        .split(',')
        .map(|entry| entry.trim().to_ascii_lowercase())
        .any(|entry| matches(&entry, &host, address, port))
}

fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return address.is_some_and(|address| contains(network, bits, address));
    }
    let (name, entry_port) = split_port(entry);
    if name.is_empty() || entry_port.is_some_and(|entry_port| entry_port != port) {
        return false;
    }
    if let Ok(entry_address) = name.parse::<IpAddr>() {
        return address == Some(entry_address);
    }
    // `example.com` matches itself and below, `.example.com` and `*.example.com` only below.
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

/// `host:port`, `[::1]:port`, or a host alone; a bare IPv6 address has no port.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port.parse().ok()),
        _ => (entry, None),
    };
    (name.trim_matches(['[', ']']), port)
}

fn contains(network: &str, bits: &str, address: IpAddr) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let differ = match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            u128::from(network.to_bits() ^ address.to_bits()).checked_shr(32 - bits)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            // A shift by the whole width is a match of everything.
            Some((network.to_bits() ^ address.to_bits()).checked_shr(128 - bits).unwrap_or_default())
        }
        _ => None,
    };
    differ == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_is_matched_against_the_server() {
        #[track_caller]
        fn check(server: &str, no_proxy: &str, exempt: bool) {
            assert_eq!(is_exempt(&server.parse().unwrap(), no_proxy), exempt, "{server} with NO_PROXY={no_proxy}");
        }
        check("https://10.0.0.1:6443", "", false);
        check("https://10.0.0.1:6443", "10.0.0.1", true);
        check("https://10.0.0.1:6443", "10.0.0.2, 10.0.0.1 ,", true);
        check("https://10.0.0.1:6443", "10.0.0.1:6443", true);
        check("https://10.0.0.1:6443", "10.0.0.1:443", false);
        check("https://10.0.0.1:6443", "10.0.0.0/8", true);
        check("https://10.0.0.1:6443", "0.0.0.0/0", true);
        check("https://10.0.0.1:6443", "10.0.1.0/24", false);
        check("https://10.0.0.1:6443", "10.0.0.1/32", true);
        check("https://10.0.0.1:6443", "10.0.0.0/99", false);
        check("https://10.0.0.1:6443", "::/0", false);
        check("https://[fd00::1]:6443", "fd00::1", true);
        check("https://[fd00::1]:6443", "[fd00::1]:6443", true);
        check("https://[fd00::1]:6443", "fd00::/8", true);
        check("https://[fd00::1]:6443", "::/0", true);
        check("https://api.example.com", "example.com", true);
        check("https://api.example.com", "EXAMPLE.com:443", true);
        check("https://api.example.com", ".example.com", true);
        check("https://api.example.com", "*.example.com", true);
        check("https://example.com", ".example.com", false);
        check("https://badexample.com", "example.com", false);
        check("https://api.example.com", "*", true);
        check("https://api.example.com", ",", false);
        check("https://localhost:6443", "", true);
        check("https://127.0.0.1:6443", "", true);
        check("https://[::1]:6443", "", true);
    }

    #[test]
    fn a_cluster_proxy_wins_over_the_environment() {
        #[track_caller]
        fn check(server: &str, cluster_proxy: Option<&str>, expected: Option<&str>) {
            let environment = Environment {
                https_proxy: Some("proxy:3128".to_owned()),
                http_proxy: Some("socks5h://plain:1080".to_owned()),
                no_proxy: Some("internal".to_owned()),
                ..Environment::default()
            };
            let proxy = choose(&server.parse().unwrap(), cluster_proxy, &environment).unwrap();
            assert_eq!(proxy.map(|uri| uri.to_string()).as_deref(), expected, "{server} {cluster_proxy:?}");
        }
        check("https://api.example.com", None, Some("http://proxy:3128/"));
        check("http://api.example.com", None, Some("socks5://plain:1080/"));
        check("https://api.internal", None, None);
        check("https://api.internal", Some("https://p:1"), Some("https://p:1/"));
        check("https://127.0.0.1:6443", None, None);
    }

    #[test]
    fn a_wrong_proxy_is_named_without_its_password() {
        let error = parse("ftp://user:secret@proxy:21").unwrap_err();
        assert_eq!(error.to_string(), r#"invalid proxy URL "ftp://proxy:21": the schemes are http, https and socks5"#);
    }
}
