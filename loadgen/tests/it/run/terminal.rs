//! The live view on a real terminal: a pseudo-terminal whose screen a terminal emulator keeps.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use gatecrash::judge::verdict::{CONFIGURATION, STOPPED};
use gatecrash::run::live::View;
use reports::schema::RunResult;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tempfile::TempDir;
use vt100::{Color, Parser};

use crate::engine_servers::unused_addr;
use testkit::until;

/// Fifty seconds of load, which no test waits for.
const LONG: &str = "-c 5000 -r 100/s";
/// Tells this program to be the one that panics.
const PANICS: &str = "GATECRASH_TEST_PANICS";
/// Goes to the screen that programs draw on (xterm's private mode 1049).
const ALTERNATE: &str = "\u{1b}[?1049h";
const SIZE: (u16, u16) = (100, 30);

/// A program on a terminal of its own, which controls it.
struct Terminal {
    child: Child,
    /// The end of whoever sits before it.
    controller: File,
    seen: Arc<Mutex<Seen>>,
    folder: TempDir,
}

/// What came out of the terminal.
struct Seen {
    /// As it looks now.
    parser: Parser,
    /// All of it.
    bytes: Vec<u8>,
}

impl Terminal {
    /// `gatecrash run` with these flags.
    fn run(flags: &str, environment: &[(&str, &str)]) -> Self {
        let words = ["run"].into_iter().chain(flags.split_whitespace());
        let mut words: Vec<&str> = words.collect();
        words.extend(["--out", "out"]);
        Self::start(env!("CARGO_BIN_EXE_gatecrash"), &words, environment)
    }

    fn start(program: &str, words: &[&str], environment: &[(&str, &str)]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        tcsetwinsize(&controller, winsize(SIZE)).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let line = || {
            let line = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(OpenptFlags::NOCTTY.bits().cast_signed())
                .open(name.to_str().unwrap());
            Stdio::from(line.unwrap())
        };
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("setsid")
            .args(["--ctty", program])
            .args(words)
            .current_dir(&folder)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(line())
            .stdout(line())
            .stderr(line())
            .spawn()
            .unwrap();
        let seen = Arc::new(Mutex::new(Seen { parser: Parser::new(SIZE.1, SIZE.0, 0), bytes: Vec::new() }));
        follow(controller.try_clone().unwrap(), seen.clone());
        Self { child, controller: File::from(controller), seen, folder }
    }

    fn press(&mut self, keys: &[u8]) {
        self.controller.write_all(keys).unwrap();
    }

    fn resize(&self, size: (u16, u16)) {
        let mut seen = self.seen.lock().unwrap();
        seen.parser.screen_mut().set_size(size.1, size.0);
        tcsetwinsize(&self.controller, winsize(size)).unwrap();
    }

    /// Checks until the screen shows all of these.
    async fn shows(&self, words: &[&str]) -> String {
        until(&format!("the screen to show {words:?}"), || {
            let screen = self.screen();
            let all = words.iter().all(|word| screen.contains(word));
            all.then_some(screen)
        })
        .await
    }

    /// What is on the screen.
    fn screen(&self) -> String {
        self.seen.lock().unwrap().parser.screen().contents()
    }

    /// Everything that was written, scrolled away or not.
    fn written(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap().bytes).into_owned()
    }

    /// Whether any character on the screen has a colour.
    fn is_colored(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        let screen = seen.parser.screen();
        let (rows, columns) = screen.size();
        let mut cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        cells.any(|(row, column)| {
            let cell = screen.cell(row, column);
            cell.is_some_and(|cell| cell.fgcolor() != Color::Default)
        })
    }

    /// Waits for its end; the terminal must be as it was.
    async fn end(&mut self, why: &str) -> ExitStatus {
        let ended = until("the program to end", || self.child.try_wait().unwrap()).await;
        let modes = tcgetattr(&self.controller).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{why}: {modes:?}");
        until("the usual screen and its cursor", || {
            let seen = self.seen.lock().unwrap();
            let screen = seen.parser.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        })
        .await;
        ended
    }

    fn result(&self) -> RunResult {
        let json = std::fs::read(self.folder.path().join("out/result.json")).unwrap();
        serde_json::from_slice(&json).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Where the test failed it may still run; where it did not, it is gone.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn winsize((columns, rows): (u16, u16)) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Shows what the program writes; ends when nobody has the other end open any more.
fn follow(controller: OwnedFd, seen: Arc<Mutex<Seen>>) {
    let mut controller = File::from(controller);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = controller.read(&mut bytes) {
            let mut seen = seen.lock().unwrap();
            seen.parser.process(&bytes[..length]);
            seen.bytes.extend_from_slice(&bytes[..length]);
        }
    });
}

#[tokio::test]
async fn q_ends_the_run_with_what_was_measured() {
    let mut terminal = Terminal::run(LONG, &[]);
    let parts = ["q ends the run", "100/s planned", "handshake response"];
    terminal.shows(&parts).await;
    assert!(terminal.is_colored());
    terminal.resize((40, 10));
    let small = terminal.shows(&["q ends it", "Generator"]).await;
    assert!(small.lines().count() <= 10, "{small}");
    terminal.resize(SIZE);
    terminal.shows(&parts).await;
    terminal.press(b"q");
    let status = terminal.end("q").await;
    assert_eq!(status.code(), Some(STOPPED.into()), "{}", terminal.screen());
    let totals = terminal.result().totals;
    assert!(totals.established > 0 && totals.planned < 5000, "{totals:?}");
    terminal.shows(&["Report"]).await;
    assert!(terminal.written().contains("STOPPED EARLY"));
}

#[tokio::test]
async fn control_c_stops_the_run() {
    let mut terminal = Terminal::run(LONG, &[("NO_COLOR", "1")]);
    terminal.shows(&["100/s planned", "connect"]).await;
    assert!(!terminal.is_colored());
    terminal.press(b"\x03");
    let status = terminal.end("one ends it in order").await;
    assert_eq!(status.code(), Some(STOPPED.into()), "{}", terminal.screen());
    assert!(terminal.result().totals.established > 0);

    let mut terminal = Terminal::run(LONG, &[]);
    terminal.shows(&["100/s planned"]).await;
    terminal.press(b"\x03\x03");
    let status = terminal.end("two end it at once").await;
    assert_eq!(status.code(), Some(STOPPED.into()), "{}", terminal.screen());
}

#[tokio::test]
async fn errors_restore_the_terminal() {
    let nobody = unused_addr();
    let flags = format!("--target http://{nobody} --token-source mint --secret any-secret");
    let mut terminal = Terminal::run(&flags, &[]);
    let status = terminal.end("nobody listens").await;
    assert_eq!(status.code(), Some(CONFIGURATION.into()));
    terminal.shows(&["nothing listens on"]).await;
}

#[tokio::test]
async fn panic_restores_the_terminal() {
    if std::env::var_os(PANICS).is_some() {
        let view = View::take(|_| ()).expect("a terminal");
        view.step("about to fail");
        panic!("as it was asked to");
    }
    let own = std::env::current_exe().unwrap();
    let test = "run::terminal::panic_restores_the_terminal";
    let words = ["--exact", test, "--nocapture"];
    let mut terminal = Terminal::start(own.to_str().unwrap(), &words, &[(PANICS, "1")]);
    let status = terminal.end("a panic").await;
    assert!(!status.success());
    let said = || terminal.written().contains("as it was asked to").then_some(());
    until("the panic to be told", said).await;
}

#[tokio::test]
async fn no_tui_and_dumb_terminals_get_plain_lines() {
    for (flags, environment, why) in [
        ("--no-tui -c 20 -r 200/s", &[][..], "they were asked for"),
        ("-c 20 -r 200/s", &[("TERM", "dumb")], "it cannot be drawn on"),
    ] {
        let mut terminal = Terminal::run(flags, environment);
        terminal.end(why).await;
        terminal.shows(&["Report"]).await;
        let written = terminal.written();
        assert!(written.contains("logging 100 users in"), "{why}: {written}");
        assert!(!written.contains(ALTERNATE), "{why}: {written}");
    }
}
