//! The engineer's day: stock clients on a laptop with the printed block, and servers that know
//! nothing but the CA's key.

use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::ca::enroll;
use crate::laptop::{Laptop, SK, Town};
use crate::process::{Daemon, key_pair, run, until};

/// The two forms of the block.
pub const FORMS: [&str; 2] = ["--agent", "--file"];

/// A ticket at hand, as `ssh_config`'s `SendEnv` brings it.
pub const AT_HAND: &str = "export HALLPASS_TICKET=OPS-7; ";

/// So many bytes of a stream.
fn read(from: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn two_commands_and_no_install_and_then_one() {
    // Ana sits down at a new laptop. It has her key, and knows where the CA is.
    let town = Town::with(&["deploy@web01"]);
    let laptop = Laptop::of_ana(&town);
    let typed = ["ssh -A ca deploy@web01 OPS-7", "ssh deploy@web01 echo in"];
    assert!(!laptop.ssh("hallpass").exists());
    let said = typed.map(|line| laptop.sh(line));
    assert_eq!((said[0].code, said[1].out.as_str()), (0, "in\n"), "{said:?}");
    assert!(!laptop.ssh("hallpass").exists(), "nothing was installed");

    // With the block, typed once, it is one command: from the grant that is there ...
    for form in FORMS {
        let fresh = Laptop::of_ana(&town);
        fresh.install_block(form);
        let said = fresh.sh("ssh deploy@web01 echo in");
        assert_eq!(said.out, "in\n", "{form}: {said:?}");
        assert_eq!(said.err, "", "{form}");
    }
    // ... or a new one, whose ticket is at hand. Without it she is told what to type, in two lines.
    for form in FORMS {
        let town = Town::with(&["deploy@web01"]);
        let fresh = Laptop::of_ana(&town);
        fresh.install_block(form);
        let said = fresh.sh("ssh deploy@web01 echo in");
        let told: Vec<&str> = said.err.lines().collect();
        assert_eq!((said.code, said.out.as_str(), told.len()), (255, "", 3), "{form}: {said:?}");
        assert!(
            told[0].starts_with("hallpass: refused: ") && told[0].contains("ticket"),
            "{said:?}"
        );
        assert!(told[1].starts_with("hint: ") && told[2].contains("Permission denied"), "{said:?}");
        let said = fresh.sh(&format!("{AT_HAND}ssh deploy@web01 echo in"));
        assert_eq!((said.out.as_str(), said.err.as_str()), ("in\n", ""), "{form}: {said:?}");
    }
}

#[test]
fn every_stock_client_gets_in_by_the_block() {
    let mut town = Town::with(&["deploy@web01", "dev@dev01"]);
    for form in FORMS {
        let laptop = Laptop::of_ana(&town);
        laptop.install_block(form);
        let type_in = |line: &str, out: &str| {
            let said = laptop.sh(&format!("{AT_HAND}{line}"));
            assert_eq!((said.code, said.out.as_str()), (0, out), "{form}: {line}: {said:?}");
        };
        type_in("ssh deploy@web01 echo in", "in\n");
        type_in("ssh -o BatchMode=yes web01 -l deploy echo in", "in\n");
        type_in("echo 'ssh -n deploy@web01 echo in' > script; sh ./script < /dev/null", "in\n");

        // Files, there and back.
        let there = town.ca.dir().join(format!("there{form}"));
        std::fs::create_dir(&there).unwrap();
        let at = there.display();
        std::fs::write(laptop.home().join("file"), "text\n").unwrap();
        for (protocol, name) in [("-O", "old"), ("-s", "sftp")] {
            type_in(&format!("scp -q {protocol} file deploy@web01:{at}/{name}"), "");
            type_in(
                &format!("scp -q {protocol} deploy@web01:{at}/{name} . && cat {name}"),
                "text\n",
            );
        }
        let put = format!("put file {at}/put");
        type_in(&format!("echo '{put}' | sftp -q -b - deploy@web01"), &format!("sftp> {put}\n"));
        type_in(&format!("rsync -a file deploy@web01:{at}/rsync && cat {at}/rsync"), "text\n");
        type_in(&format!("rsync -a deploy@web01:{at}/put rsynced && cat rsynced"), "text\n");

        // A repository, cloned, changed and pushed.
        let git = "export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=ana GIT_AUTHOR_EMAIL=ana@example.com \
                   GIT_COMMITTER_NAME=ana GIT_COMMITTER_EMAIL=ana@example.com";
        type_in(&format!("git init -q --bare {at}/all.git"), "");
        type_in(
            &format!(
                "{git}; git clone -q ssh://deploy@web01{at}/all.git all 2>&1 && cd all && cp ../file . && \
                 git add file && git commit -q -m file && git push -q origin HEAD && git -C {at}/all.git log --format=%s"
            ),
            "warning: You appear to have cloned an empty repository.\nfile\n",
        );
    }
    let logged = |server: &crate::sshd::Sshd| {
        server.log().iter().filter(|line| line.starts_with("Accepted publickey")).count()
    };
    // Each of them was a login by a certificate.
    let web01 = town.server("web01");
    assert!(logged(web01) >= 22, "{:#?}", web01.log());
    let plain = |line: &&String| line.starts_with("Accepted") && !line.contains("(serial ");
    assert_eq!(web01.log().iter().find(plain), None);
}

#[test]
fn jumps_editors_and_shared_connections_get_in_by_the_block() {
    let mut town = Town::with(&["jump@hop01", "deploy@web01", "dev@dev01"]);
    for form in FORMS {
        let laptop = Laptop::of_ana(&town);
        laptop.install_block(form);
        let type_in = |line: &str, out: &str| {
            let said = laptop.sh(&format!("{AT_HAND}{line}"));
            assert_eq!((said.code, said.out.as_str()), (0, out), "{form}: {line}: {said:?}");
        };
        // Over the hop, each of the two logins by a certificate of its own.
        type_in("ssh -J jump@hop01 deploy@web01 echo over", "over\n");
        type_in("ssh -o ProxyJump=jump@hop01 deploy@web01 echo over", "over\n");
        let jumped = town.server("hop01").line("Accepted publickey for jump");
        assert!(jumped.contains("/ana/") && jumped.contains("(serial "), "{jumped}");

        // What VS Code Remote and its like do: a shell over one connection, a forwarded port over
        // another, and the server's answer through it.
        let port = town.server("dev01").port();
        type_in("echo 'echo from the shell' | ssh -T dev@dev01 sh", "from the shell\n");
        let asked = format!("ssh -W 127.0.0.1:{port} dev@dev01 < /dev/null | head -c 8");
        type_in(&asked, "SSH-2.0-");
        let socket = laptop.home().join("forwarded");
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let forwards = format!("-D {free} -L {}:127.0.0.1:{port}", socket.display());
        let mut held = laptop.command("ssh");
        held.args(["-N", "-o", "ExitOnForwardFailure=yes"])
            .args(forwards.split(' '))
            .arg("dev@dev01");
        let held = Daemon::start(&mut held);
        until("the forwarded ports", || socket.exists() && TcpStream::connect(free).is_ok());
        assert_eq!(&read(&mut UnixStream::connect(&socket).unwrap(), 8), b"SSH-2.0-");
        // SOCKS 5 (RFC 1928), without authentication, to an IPv4 address.
        let mut proxy = TcpStream::connect(free).unwrap();
        proxy.write_all(&[5, 1, 0]).unwrap();
        assert_eq!(read(&mut proxy, 2), [5, 0]);
        let [high, low] = port.to_be_bytes();
        proxy.write_all(&[5, 1, 0, 1, 127, 0, 0, 1, high, low]).unwrap();
        assert_eq!(read(&mut proxy, 10)[..2], [5, 0]);
        assert_eq!(&read(&mut proxy, 8), b"SSH-2.0-");
        drop(held);
        std::fs::remove_file(&socket).unwrap();
        // Where the offer has no forwarding there is none.
        let said = laptop.sh(&format!("{AT_HAND}ssh -W 127.0.0.1:{port} deploy@web01 < /dev/null"));
        assert!(said.code == 255 && said.err.contains("forwarding"), "{said:?}");

        // One connection that the others share, and its end.
        let share = "ssh -o ControlPath=~/.ssh/master";
        type_in(
            &format!("{share} -o ControlMaster=yes -o ControlPersist=60 deploy@web01 echo first"),
            "first\n",
        );
        let logins = town.server("web01").log().len();
        type_in(&format!("{share} deploy@web01 echo second"), "second\n");
        assert!(
            !town.server("web01").log()[logins..].iter().any(|line| line.starts_with("Accepted"))
        );
        assert_eq!(laptop.sh(&format!("{share} -O exit deploy@web01")).code, 0);
    }
}

#[test]
fn two_laptops_of_one_person_get_in() {
    // Ana's old laptop and her new one, with one key or with one each.
    for second in ["ana", "new"] {
        let town = Town::with_changed(&["deploy@web01"], |dir| {
            key_pair(dir, "new", &["ed25519"]);
            let file = dir.join("ca/people.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            let key =
                |name: &str| std::fs::read_to_string(dir.join(name)).unwrap().trim().to_owned();
            let (old, new) = (key("ana.pub"), key("new.pub"));
            let both = format!("keys = [{old:?}, {new:?}]");
            std::fs::write(&file, text.replace(&format!("keys = [{old:?}]"), &both)).unwrap();
        });
        for form in FORMS {
            for key in ["ana", second, "ana"] {
                let mut laptop = Laptop::with_key(&town, &town.ca.dir().join(key));
                laptop.start_agent();
                laptop.sh("ssh-add -q").ok();
                laptop.install_block(form);
                let said = laptop.sh(&format!("{AT_HAND}ssh deploy@web01 echo in"));
                assert_eq!((said.out.as_str(), said.err.as_str()), ("in\n", ""), "{form} {key}");
            }
        }
    }
}

#[test]
fn a_security_key_gets_in_by_the_block() {
    let mut town = Town::with_changed(&["deploy@web01"], |dir| {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519-sk", "-w", SK, "-N", "", "-f"]).arg(dir.join("sk"));
        run(&mut keygen).ok();
        ana_has(dir, &dir.join("sk"));
    });
    let laptop = Laptop::with_key(&town, &town.ca.dir().join("sk"));
    // A real one needs no such line.
    let provider = format!("SecurityKeyProvider {SK}\n");
    laptop.configure(&provider);
    laptop.install_block("--file");
    laptop.configure(&format!("{provider}Include hallpass/config\n"));
    let said = laptop.sh(&format!("{AT_HAND}ssh deploy@web01 echo in"));
    assert_eq!(said.out, "in\n", "{said:?}");
    town.server("web01").line("ED25519-SK-CERT");
}

#[test]
fn a_key_that_is_in_the_agent_alone_gets_in_by_the_block() {
    // Its private half is on no disk of the laptop's, nor its public one.
    let town = Town::with(&["deploy@web01"]);
    for form in FORMS {
        let laptop = Laptop::with_agent_only(&town, &town.ca.dir().join("ana"));
        laptop.install_block(form);
        let said = laptop.sh(&format!("{AT_HAND}ssh deploy@web01 echo in"));
        assert_eq!((said.out.as_str(), said.err.as_str()), ("in\n", ""), "{form}: {said:?}");
        assert!(!laptop.ssh("id_ed25519").exists());
    }
}

#[test]
fn putty_gets_in_with_a_certificate_in_a_file() {
    // As on Windows: the key is PuTTY's, the certificate from `ssh ca ... > FILE`.
    let mut town = Town::with(&["deploy@web01"]);
    let laptop = Laptop::of_ana(&town);
    let port = town.server("web01").port();
    let key = town.server("web01").host_key();
    std::fs::write(laptop.home().join("host.pub"), key).unwrap();
    laptop.sh("ssh ca deploy@web01 OPS-7 > cert.pub").ok();
    laptop.sh("puttygen .ssh/id_ed25519 -O private -o ana.ppk").ok();
    let print = "$(ssh-keygen -lf host.pub | cut -d ' ' -f 2)";
    let plink = format!("plink -batch -noagent -P {port} -hostkey {print} -i ana.ppk");
    let said = laptop.sh(&format!("{plink} -cert cert.pub deploy@127.0.0.1 echo in"));
    assert_eq!(said.out, "in\n", "{said:?}");
    // It was the certificate.
    assert_ne!(laptop.sh(&format!("{plink} deploy@127.0.0.1 echo in")).code, 0);
}

#[test]
fn a_host_that_is_behind_another_is_reached_over_it_by_the_block() {
    let mut town = Town::with_changed(&["jump@hop01", "deploy@web01"], |dir| {
        let file = dir.join("ca/hosts.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let with = "[host.web01]\nvia = \"jump@hop01\"\n";
        std::fs::write(&file, text.replace("[host.web01]\n", with)).unwrap();
    });
    for form in FORMS {
        let laptop = Laptop::of_ana(&town);
        laptop.install_block(form);
        let before = town.server("hop01").log().len();
        let said = laptop.sh(&format!("{AT_HAND}ssh deploy@web01 echo over"));
        assert_eq!(said.out, "over\n", "{form}: {said:?}");
        let jumped = |line: &String| line.starts_with("Accepted publickey for jump");
        assert!(town.server("hop01").log()[before..].iter().any(jumped), "{form}");
    }
}
