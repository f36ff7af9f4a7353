//! Help: one screen in all, one screen a verb, each ends in a command that works.

/// The general help.
pub(super) const ALL: &str = "\
usage: ssh ca LOGIN@HOST TICKET [options]     ask for a certificate
       ssh ca VERB ...

With a forwarded agent (ssh -A ca ...) a fresh key and its certificate go into it, bound to that
host and account; without one the certificate for your own key is printed on stdout.

  request ACCOUNTS [TICKET]     the same, spelled out; ACCOUNTS are LOGIN@HOST, HOST, LOGIN@tag:TAG,
                                several with commas between them
      --ticket ID|URL           the ticket that is the reason
      --reason TEXT             why, in your words
      --for 1h                  how long the grant is to last
      --ttl 5m                  how long the certificate is to live
      --offer ID                the offer to decide by
      --via LOGIN@HOST          the account of the hop on the way
      --to agent|stdout         where the certificate is to go, where it could be both
  renew [REQUEST|LOGIN@HOST]    another certificate from a live grant
  ensure ACCOUNTS               for scripts: one that is good, new only if need be
  list, show REQUEST, status    your live grants; one; who you are (also: no words at all)
  why LOGIN@HOST                what you hold for it, and why a login may fail
  config [--agent|--file]       the block for ~/.ssh/config, so that ssh LOGIN@HOST is all
  catalog                       what you could ask for, and what it takes
  explain LOGIN@HOST [TICKET]   what would decide, and what each other offer misses
  lock, unlock PERSON --reason TEXT    or host:H, tag:T, key:SHA256:..., everything
  locks                         what is locked, of what you may lock or unlock
  freeze NAME [--tag T] [--for 4h] --reason TEXT, thaw NAME, freezes
                                a freeze set, lifted; those that stand
  audit search|show             who got in where, when and why, for those whom policy lets
  trust [--user] [--bare] [--host] [--ledger]
                                public keys for servers, clients and verifiers
  host config NAME              the file that puts a server under the CA
  known-hosts                   lines for known_hosts: all hosts, and this CA
  help [VERB]                   this, or more on one verb
  --json                        at the end of any of these: one JSON object on stdout

exit status: 0 done, 1 refused, 2 usage, 75 fault (try again)

  ssh -A ca deploy@web01 OPS-7
  ssh deploy@web01
";

/// Help on one verb.
pub(super) fn on(verb: &str) -> Option<&'static str> {
    match verb {
        "request" => Some(
            "\
usage: ssh [-A] ca [request] ACCOUNTS [TICKET] [--ticket ID|URL] [--reason TEXT] [--for 1h]
       [--ttl 5m] [--offer ID] [--via LOGIN@HOST] [--to agent|stdout] [--json]

Asks for a certificate that opens LOGIN on HOST. HOST is the host's name, an alias or an address;
without LOGIN it is the one account there that you could have; tag:TAG is every host of that tag.
Several make one request, granted whole or not at all. What a live grant of yours covers is issued
from it. With a forwarded agent the certificate goes into it together with a fresh key; else it is
for the very key you logged in with, and printed on stdout. More time than the offer gives is cut
to what it gives, and said.

  ssh ca deploy@web01 OPS-7 > cert.pub
",
        ),
        "renew" => Some(
            "\
usage: ssh [-A] ca renew [REQUEST|LOGIN@HOST] [--ttl 5m] [--to agent|stdout] [--json]

Another certificate from a live grant: the only one you have, or the one that is named. The ticket is
read again, and policy asked again; the grant's end stays what it was.

  ssh -A ca renew
",
        ),
        "ensure" => Some(
            "\
usage: ssh ca ensure LOGIN@HOST... [--ticket ID|URL] [--reason TEXT] [--to agent|stdout] [--json]

For ssh_config and scripts: never asks, never waits. From a live grant, or a new one where policy needs
nothing but a ticket that is at hand (--ticket, or HALLPASS_TICKET, which `SendEnv` brings). While over
half its life is left, the same certificate again. Else status 1 and the line to type.

  ssh ca ensure deploy@web01 --ticket OPS-7 > cert.pub
",
        ),
        "list" => Some(
            "usage: ssh ca list [--json]\n\nYour live grants, and the last certificate from each.\n\n  ssh ca list\n",
        ),
        "show" => Some(
            "usage: ssh ca show REQUEST [--json]\n\nOne of your requests, live or over; `ssh ca list` has the names of those that live.\n\n  ssh ca list\n",
        ),
        "why" => Some(
            "\
usage: ssh ca why LOGIN@HOST [--json]

What you hold for an account, and the usual causes of a login that fails all the same.

  ssh ca why deploy@web01
",
        ),
        "config" => Some(
            "\
usage: ssh ca config [--agent|--file]

Prints a block for ~/.ssh/config: the CA itself with its host key, and a line that runs `ssh ca ensure`
for the accounts you may ask for, so that `ssh LOGIN@HOST` is all you type. --file (unless it is said)
keeps certificates for your own key under ~/.ssh/hallpass/; --agent puts fresh keys into your agent.
Put `Include hallpass/config` at the top of ~/.ssh/config.

  mkdir -p -m 700 ~/.ssh/hallpass && ssh ca config > ~/.ssh/hallpass/config
",
        ),
        "status" => Some(
            "usage: ssh ca [status] [--json]\n\nWho you are, by which key, and which grants are live.\n\n  ssh ca status\n",
        ),
        "trust" => Some(
            "\
usage: ssh ca trust [--user] [--bare] [--host] [--ledger] [--json]

Prints public keys: for TrustedUserCAKeys (--user: the CA, the next and the emergency one; --bare:
for servers that cannot map principals), for a @cert-authority line (--host), for verifiers
(--ledger).

  ssh ca trust --user > user_ca.pub
",
        ),
        "explain" => Some(
            "\
usage: ssh ca explain LOGIN@HOST [TICKET] [--ticket ID|URL] [--reason TEXT] [--for 1h] [--ttl 5m]
       [--offer ID] [--json]

A dry run: the offer that would decide, and for every other one that is for you and this host each
condition that does not hold. Nothing is issued, nothing is written down.

  ssh ca explain root@web01 OPS-7
",
        ),
        "catalog" => Some(
            "usage: ssh ca catalog [--json]\n\nEvery offer that could give you something: its terms, what it takes, the accounts.\n\n  ssh ca catalog\n",
        ),
        "lock" => Some(
            "\
usage: ssh ca lock PERSON|host:NAME|tag:NAME|key:SHA256:...|everything --reason TEXT [--json]

Stops every certificate for a person, by a key, on a host, on every host with a tag, or all of
them, at once and until somebody lifts it. Locked people are told who locked them, when and why.
What was issued before opens servers until it expires, minutes later; sessions go on.

  ssh ca lock host:web09 --reason \"'not built yet'\"
",
        ),
        "unlock" => Some(
            "\
usage: ssh ca unlock PERSON|host:NAME|tag:NAME|key:SHA256:...|everything --reason TEXT [--json]

Lifts a lock by the name under which it was set. It takes more than to lock: policy says who may.

  ssh ca unlock host:web09 --reason \"'it is built'\"
",
        ),
        "audit" => Some(super::audit::HELP),
        "locks" => Some(
            "usage: ssh ca locks [--json]\n\nWhat is locked, of what you may lock or unlock.\n\n  ssh ca locks\n",
        ),
        "freeze" => Some(
            "\
usage: ssh ca freeze NAME [--tag TAG]... [--for 4h] --reason TEXT [--json]

Says that the moment is not an ordinary one: for everything, or for the hosts of some tags. What that
stops, and what goes on, is the policy's to say; a lock stops without exception. It stands until it is
lifted by its name, or for as long as --for says. Set again it is replaced.

  ssh ca freeze black-friday --tag prod --for 72h --reason \"'the busiest days of the year'\"
",
        ),
        "thaw" => Some(
            "\
usage: ssh ca thaw NAME --reason TEXT [--json]

Lifts a freeze by its name. One that is a file on the CA's machine is lifted by removing the file.

  ssh ca thaw black-friday --reason \"'it is over'\"
",
        ),
        "freezes" => Some(
            "usage: ssh ca freezes [--json]\n\nThe freezes that stand: over what, since when, by whom, until when and why.\n\n  ssh ca freezes\n",
        ),
        "host" => Some(super::host::HELP),
        "known-hosts" => Some(super::host::KNOWN_HOSTS_HELP),
        "help" => Some("usage: ssh ca help [VERB]\n\n  ssh ca help request\n"),
        _ => None,
    }
}
