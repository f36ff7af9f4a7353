//! A machine of this distribution with a booted systemd, in a container on a network that it shares
//! with one client and nobody else. Needs root.
//!
//! The image is made once, by debootstrap, and kept in cargo's folder for tests; a machine's disk is memory over it.
//! Both networks are nameless and end with their processes, and those end with the test's.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Daemon, Said, children, run, run_for, signal, until};

/// The machine's address.
pub const ADDRESS: &str = "192.0.2.10";

/// The folder in it that stands for a folder where hallpass was built.
const BUILT: &str = "/root/hallpass";

pub struct Machine {
    /// Has the client's network, and the machine's disk.
    holder: Daemon,
    container: Daemon,
    init: u32,
    start: Vec<OsString>,
    _disk: TempDir,
}

impl Machine {
    /// Boots one; `files` are put into the folder where hallpass was built, under these names.
    pub fn boot(files: &[(PathBuf, &str)]) -> Self {
        Self::boot_prepared(files, "", "true", &[])
    }

    /// Boots one with one more package, after a script has prepared its disk: `$1` is its root folder there,
    /// the words come after it.
    pub fn boot_prepared(
        files: &[(PathBuf, &str)],
        package: &str,
        prepare: &str,
        words: &[&Path],
    ) -> Self {
        let disk = tempfile::Builder::new().prefix("machine-").tempdir().unwrap();
        // The disk is memory over the image; it is mounted for nobody but the holder.
        let script = "mount -t tmpfs machine \"$1\"; cd \"$1\"; mkdir upper work root
            mount -t overlay -o lowerdir=\"$2\",upperdir=upper,workdir=work machine root
            echo there is a disk >&2; exec sleep 900";
        let mut holder = Command::new("setpriv");
        holder.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "sh", "-euc", script]);
        let mut holder = Daemon::start(holder.arg("sh").arg(disk.path()).arg(image(package)));
        holder.line("there is a disk");
        let mut enter = Command::new("nsenter");
        enter.args(["-m", "-t", &holder.pid().to_string(), "sh", "-euc", prepare, "sh"]);
        let said = run(enter.arg(disk.path().join("root")).args(words));
        assert_eq!(said.code, 0, "{said:?}");

        // Not KILL: the machine would outlive nspawn, which shuts it down at a TERM.
        let mut start: Vec<OsString> =
            ["--pdeathsig", "TERM", "nsenter", "-m", "-t"].map(Into::into).into();
        start.push(holder.pid().to_string().into());
        let nspawn = "systemd-nspawn --quiet --boot --keep-unit --register=no --link-journal=no \
            --console=pipe --private-network --machine=web01 --directory";
        start.extend(nspawn.split_whitespace().map(Into::into));
        start.push(disk.path().join("root").into());
        for (file, name) in files {
            let mut bind = OsString::from("--bind-ro=");
            bind.push(file);
            bind.push(format!(":{BUILT}/{name}"));
            start.push(bind);
        }
        let container = Daemon::start(Command::new("setpriv").args(&start));
        let mut machine = Self { holder, container, init: 0, start, _disk: disk };
        machine.come_up();
        machine
    }

    /// Shuts it down in order, and boots it again with what is on its disk.
    pub fn reboot(&mut self) {
        self.run("systemctl reboot").ok();
        until("a machine that is off", || self.container.ended());
        self.container = Daemon::start(Command::new("setpriv").args(&self.start));
        self.come_up();
    }

    fn come_up(&mut self) {
        until("a booted systemd", || self.is_up());
        self.connect();
    }

    /// Runs a script in the machine, as root, in the folder where hallpass was built.
    pub fn run(&self, script: &str) -> Said {
        let mut enter = Command::new("nsenter");
        enter.args(["-t", &self.init.to_string(), "-m", "-u", "-i", "-n", "-p", "-C"]);
        enter.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "sh", "-euc"]);
        run(enter.arg(format!("cd {BUILT}; {script}")))
    }

    /// A program on the client's network, with this machine's files.
    pub fn outside(&self, program: &str) -> Command {
        within(self.holder.pid(), program)
    }

    /// The process of a service.
    pub fn pid(&self, service: &str) -> u32 {
        self.run(&format!("systemctl show -P MainPID {service}")).ok().trim().parse().unwrap()
    }

    fn is_up(&mut self) -> bool {
        // nspawn's first child may be one that only makes the second.
        let Some(init) = children(self.container.pid()).pop() else { return false };
        self.init = init;
        let state = self.run("systemctl is-system-running").out;
        ["running", "degraded"].contains(&state.trim())
    }

    fn connect(&self) {
        let ends = [(self.holder.pid(), "192.0.2.1"), (self.init, ADDRESS)];
        let mut link = within(self.holder.pid(), "ip");
        link.args(["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns"]);
        run(link.arg(self.init.to_string())).ok();
        for (pid, address) in ends {
            let address = format!("{address}/24");
            run(within(pid, "ip").args(["address", "add", &address, "dev", "eth0"])).ok();
            run(within(pid, "ip").args(["link", "set", "eth0", "up"])).ok();
        }
    }
}

impl Drop for Machine {
    /// The power goes: everything in it ends with its first process, and nspawn with that.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The last that can be seen of what went wrong in it.
            eprintln!("{}", self.run("journalctl --no-pager -n 200").out);
        }
        children(self.container.pid()).into_iter().for_each(|init| signal(init, "KILL"));
    }
}

/// A program of this machine on the network of another process.
fn within(pid: u32, program: &str) -> Command {
    let mut enter = Command::new("nsenter");
    enter.args(["-t", &pid.to_string(), "-n", program]);
    enter
}

/// The image: as little of this machine's distribution as boots and lets people in, and perhaps one more
/// package with what it needs.
fn image(package: &str) -> PathBuf {
    let said = run(Command::new("sh").args(["-c", ". /etc/os-release; echo $VERSION_CODENAME"]));
    let release = said.ok().trim().to_owned();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let image = target
        .join(format!("booted-{release}{}{package}", if package.is_empty() { "" } else { "-" }));
    if image.exists() {
        return image;
    }
    let folder = tempfile::Builder::new().prefix("booted-").tempdir_in(target).unwrap();
    let made = folder.path().join("image");
    let mut make = if package.is_empty() {
        eprintln!("debootstrap makes {}: half a minute or two, once", image.display());
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", "--include=systemd,openssh-server", &release]);
        debootstrap.arg(&made);
        debootstrap
    } else {
        let script = "cp -a \"$1\" \"$2\"; export DEBIAN_FRONTEND=noninteractive
            chroot \"$2\" apt-get -qq update; chroot \"$2\" apt-get -qq install -y --no-install-recommends \"$3\"";
        let mut install = Command::new("sh");
        install.args(["-euc", script, "sh"]).arg(self::image("")).arg(&made).arg(package);
        install
    };
    run_for(&mut make, Duration::from_secs(600)).ok();
    std::fs::remove_dir_all(made.join("var/cache/apt/archives")).unwrap();
    // Of two that made one at the same time the second throws its own away.
    assert!(std::fs::rename(&made, &image).is_ok() || image.exists());
    image
}

/// Whether this test may boot machines; where it may not, says so on the terminal's own standard error:
/// what a test that passes prints is not shown.
pub fn can_boot() -> bool {
    let mut boxed = Command::new("unshare");
    boxed.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "true"]);
    let can = run(Command::new("id").arg("-u")).ok().trim() == "0" && run(&mut boxed).code == 0;
    if !can {
        let said = b"not tried: the units under a booted systemd (a machine takes root)\n";
        std::io::stderr().write_all(said).unwrap();
    }
    can
}

/// The commands of a section of a page, one text for each block that is marked as shell; the first
/// section has no heading.
pub fn blocks(page: &Path, section: &str) -> Vec<String> {
    let page = std::fs::read_to_string(page).unwrap();
    let mut sections = page.split("\n## ");
    let text = match section {
        "" => sections.next(),
        _ => sections.find(|text| text.lines().next() == Some(section)),
    };
    let text = text.unwrap_or_else(|| panic!("no section {section:?}"));
    text.split("\n```sh\n")
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap().to_owned())
        .collect()
}
