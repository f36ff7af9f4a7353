//! What a tracker can do to whoever asks it.

use std::process::Command;

use serde_json::Value;

use super::server::{Canary, Does, json, packed};
use crate::process::run;

/// A body that is small on the way and 200 MB when it is unpacked.
fn bomb() -> Vec<u8> {
    let mut gzip = Command::new("sh");
    gzip.args(["-c", "head -c 200000000 /dev/zero | gzip -1 | base64 -w0"]);
    use base64ct::Encoding as _;
    let bytes = base64ct::Base64::decode_vec(run(&mut gzip).ok().trim()).unwrap();
    assert!(bytes.len() < 2_000_000);
    bytes
}

/// Everything that a tracker was seen to do, or could do. Whether it counts as the tracker's trouble does
/// not matter here: three ask at a time, and between two of these it is well.
pub fn attacks(canary: &Canary) -> Vec<(String, Does)> {
    let to = canary.address;
    let head =
        |more: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{more}\r\n");
    let redirect = |status: u16, to: &str| {
        Does::Bytes(
            format!("HTTP/1.1 {status} X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
                .into_bytes(),
        )
    };
    let good = "\"id\":7,\"state\":\"open\",\"who\":\"ana\"";
    let mut all: Vec<(String, Does)> = [
        ("redirect to a canary", redirect(302, &format!("http://{to}/api/t/7"))),
        ("redirect for good", redirect(301, &format!("http://{to}/"))),
        ("redirect, same scheme", redirect(307, &format!("//{to}/api/t/7"))),
        (
            "redirect with the own host as the user",
            redirect(308, &format!("http://127.0.0.1@{to}/")),
        ),
        ("redirect to a file", redirect(302, "file:///etc/shadow")),
        ("redirect to a path", redirect(303, "/api/t/8")),
        ("redirect without end", redirect(302, "")),
        ("endless body", Does::Endless(head("").into_bytes(), vec![b'['; 65536])),
        (
            "endless body in chunks",
            Does::Endless(
                head("transfer-encoding: chunked\r\n").into_bytes(),
                b"8\r\n        \r\n".to_vec(),
            ),
        ),
        (
            "a length without end",
            Does::Endless(head("content-length: 99999999999\r\n").into_bytes(), vec![b' '; 65536]),
        ),
        (
            "a length that is none",
            Does::Bytes(head("content-length: 99999999999999999999999\r\n").into_bytes()),
        ),
        (
            "two lengths",
            Does::Bytes(head("content-length: 2\r\ncontent-length: 3\r\n").into_bytes()),
        ),
        ("endless headers", Does::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".to_vec())),
        (
            "one endless header",
            Does::Endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 65536]),
        ),
        ("endless status line", Does::Endless(b"HTTP/1.1 200 ".to_vec(), vec![b'y'; 65536])),
        (
            "1xx without end",
            Does::Endless(Vec::new(), b"HTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n".to_vec()),
        ),
        ("100 without end", Does::Endless(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())),
        (
            "an upgrade",
            Does::Bytes(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".to_vec()),
        ),
        ("gzip bomb", Does::Bytes(packed("content-encoding: gzip\r\n", &bomb()))),
        ("an encoding that nobody knows", Does::Bytes(packed("content-encoding: zz\r\n", b"{}"))),
        (
            "depth of 10,000",
            Does::Bytes(json(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)))),
        ),
        (
            "depth of 10,000 objects",
            Does::Bytes(json(&format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)))),
        ),
        (
            "very many values",
            Does::Bytes(json(&format!("{{{good},\"x\":[{}0]}}", "{\"a\":[]},".repeat(40_000)))),
        ),
        ("half closed", Does::Half(head("content-length: 60\r\n").into_bytes())),
        ("half closed in the headers", Does::Half(b"HTTP/1.1 200 OK\r\ncontent-".to_vec())),
        (
            "half closed in a chunk",
            Does::Half(head("transfer-encoding: chunked\r\n\r\nff\r\n{").into_bytes()),
        ),
        ("closed", Does::Bytes(Vec::new())),
        ("silent", Does::Silent),
        (
            "silent after the headers",
            Does::Drip(head("content-length: 60\r\n").into_bytes(), Vec::new()),
        ),
        ("one byte a second", Does::Drip(Vec::new(), json("{}"))),
        (
            "one byte of the body a second",
            Does::Drip(head("content-length: 60\r\n").into_bytes(), b" ".to_vec()),
        ),
        ("no HTTP", Does::Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())),
        (
            "HTML",
            Does::Bytes(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"
                    .to_vec(),
            ),
        ),
        ("HTML that says it is JSON", Does::Bytes(json("<html>"))),
        (
            "JSON that does not say so",
            Does::Bytes(
                format!("HTTP/1.1 200 OK\r\ncontent-length: 45\r\n\r\n{{{good}}}").into_bytes(),
            ),
        ),
        ("no UTF-8", Does::Bytes(packed("", b"{\"id\":7,\"state\":\"open\xff\"}"))),
        ("a huge number as state", Does::Bytes(json("{\"id\":7,\"state\":1e999}"))),
        (
            "a long number as state",
            Does::Bytes(json(&format!("{{\"id\":7,\"state\":{}}}", "9".repeat(5000)))),
        ),
        ("an unknown word as state", Does::Bytes(json("{\"id\":7,\"state\":\"OPEN\"}"))),
        ("the state twice", Does::Bytes(json(&format!("{{{good},\"state\":\"open\"}}")))),
        ("another ticket", Does::Bytes(json("{\"id\":8,\"state\":\"open\",\"who\":\"ana\"}"))),
        (
            "another ticket of a like name",
            Does::Bytes(json("{\"id\":\"H-7\\u0000\",\"state\":\"open\",\"who\":\"ana\"}")),
        ),
        ("no ticket", Does::Bytes(json("{}"))),
        ("a list", Does::Bytes(json(&format!("[{{{good}}}]")))),
        ("null", Does::Bytes(json("null"))),
        ("nothing", Does::Bytes(json(""))),
        ("500", Does::Bytes(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n".to_vec())),
        ("204", Does::Bytes(b"HTTP/1.1 204 X\r\n\r\n".to_vec())),
        (
            "a title with a terminal's escapes",
            Does::Bytes(json(
                "{\"id\":7,\"state\":\"open\",\"title\":\"\\u001b[2J\",\"hosts\":[\"../x\"]}",
            )),
        ),
    ]
    .into_iter()
    .map(|(name, does)| (name.to_owned(), does))
    .collect();
    for field in ["id", "state", "title", "who", "priority", "labels", "hosts", "from", "until"] {
        for wrong in ["{\"a\":1}", "[[1]]", "[{}]"] {
            let mut ticket: Value = serde_json::from_str(&format!("{{{good}}}")).unwrap();
            ticket[field] = serde_json::from_str(wrong).unwrap();
            all.push((format!("{field} is {wrong}"), Does::Bytes(json(&ticket.to_string()))));
        }
    }
    all
}
