//! A command's way back: waits for the reply and sends it over the command's channel.

use russh::server::Msg;
use russh::{ChannelWriteHalf, Error};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::sleep;

use super::channels::Begun;
use super::doorman::ANSWERS;
use super::visit::Answering;
use super::{Reply, reply};
use crate::certificate::safe::Safe;

/// Waits for the reply and sends it, unless the peer interrupts it or hangs up first: then the
/// reply is dropped, and the work goes on without us. No work is a command too long to be one.
/// When the daemon stops, the reply has a little time left to come; the work goes on all the same.
pub(super) async fn answer(
    channel: Begun<ChannelWriteHalf<Msg>>,
    work: Option<(JoinHandle<Reply>, Vec<u8>)>,
    answering: Answering,
) {
    let Begun { to, slot, hangup, with } = channel;
    let too_late = async {
        answering.visit().stopped().await;
        sleep(ANSWERS).await;
    };
    let sent = async {
        let reply = match work {
            Some((work, words)) => tokio::select! {
                biased;
                reply = work => reply.unwrap_or_else(|death| died(&death)),
                () = too_late => reply::restarting(&words),
            },
            None => reply::too_long(),
        };
        send(&to, reply, with.terminal).await
    };
    let status = tokio::select! {
        biased;
        hangup = hangup => match hangup {
            Ok(()) => INTERRUPTED,
            Err(_gone) => return,
        },
        sent = sent => match sent {
            Ok(status) => status,
            Err(_gone) => return,
        },
    };
    to.exit_status(status).await.ok();
    to.eof().await.ok();
    // Before the peer learns of the end: it may open the next channel at once.
    drop(slot);
    to.close().await.ok();
}

/// Sends both outputs, as fast as the peer's window opens, and returns the status to end with.
async fn send(to: &ChannelWriteHalf<Msg>, reply: Reply, terminal: bool) -> Result<u32, Error> {
    let (mut stdout, mut stderr) = (reply.stdout, reply.stderr.into_bytes());
    if terminal {
        (stdout, stderr) = (for_terminal(&stdout), for_terminal(&stderr));
    }
    to.data_bytes(stdout).await?;
    to.extended_data_bytes(STDERR, stderr).await?;
    Ok(reply.status)
}

/// LF becomes CR LF: the client's terminal is in raw mode, and there is none on our side.
fn for_terminal(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 32);
    let mut before = 0;
    for &byte in text {
        if byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        before = byte;
    }
    out
}

/// The reply for a command that died. What it died of goes to the journal under the same id.
fn died(death: &JoinError) -> Reply {
    let id = format!("{:08x}", rand::random::<u32>());
    tracing::error!(id, death = %Safe(&death.to_string()), "a command died");
    reply::died(&id)
}

/// The data type code of standard error (RFC 4254, section 5.2).
const STDERR: u32 = 1;

/// Exit status: interrupted, as a shell reports SIGINT.
const INTERRUPTED: u32 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_a_terminal_end_in_cr_lf_once() {
        assert_eq!(for_terminal(b"a\nb\r\n\nc"), b"a\r\nb\r\n\r\nc");
    }
}
