//! The terminal while the live view uses it: keys in, pictures out, restored in every case.
//!
//! A thread of its own draws, at the lowest priority: shards come first. The terminal is restored when the view ends,
//! when this program panics anywhere, and before it exits early ([`restore`]).

use std::io::{self, IsTerminal, Stderr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

use crate::run::live::Now;
use crate::run::live::screen::{self, Shown};

/// How often keys are read and new figures drawn.
const TURN: Duration = Duration::from_millis(100);
/// How long [`restore`] waits for a picture that is being drawn.
const DRAWN_WITHIN: Duration = Duration::from_millis(50);
/// The lowest of nice(2).
const PRIORITY: i32 = 19;

/// Whether the view uses the terminal; locked while something is drawn.
static IN_USE: Mutex<bool> = Mutex::new(false);

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `q`: end the run in order.
    Quit,
    /// Ctrl-C, which raw mode keeps from becoming a signal.
    Interrupt,
}

/// The live view, as long as it is on the terminal.
pub struct View {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    step: String,
    now: Option<Arc<Now>>,
    /// Something is to be drawn.
    fresh: bool,
    over: bool,
}

impl View {
    /// Takes the terminal and calls `pressed` for each key. `None`: standard error is no terminal that this program may
    /// use, or one that cannot be drawn on.
    pub fn take(pressed: impl Fn(Key) + Send + 'static) -> Option<Self> {
        if !may_have_terminal() {
            return None;
        }
        let terminal = take_terminal().ok()?;
        let shared = Arc::new(Shared::default());
        let seen = shared.clone();
        let thread = std::thread::Builder::new().name("view".to_owned()).spawn(move || watch(terminal, &seen, pressed));
        match thread {
            Ok(thread) => Some(Self { shared, thread: Mutex::new(Some(thread)) }),
            Err(_) => {
                restore();
                None
            }
        }
    }

    /// A step of the run in a few words.
    pub fn step(&self, words: &str) {
        self.change(|state| state.step = words.to_owned());
    }

    /// What is known now.
    pub fn show(&self, now: Arc<Now>) {
        self.change(|state| state.now = Some(now));
    }

    /// Restores the terminal.
    pub fn finish(&self) {
        self.change(|state| state.over = true);
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // If it panicked, the hook has reported it and restored the terminal.
            let _panicked = thread.join();
        }
        restore();
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = lock(&self.shared.state);
        change(&mut state);
        state.fresh = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Restores the terminal if the view uses it; to be called before the program exits early.
pub fn restore() {
    let begun = Instant::now();
    // A thread that panicked while it drew holds the lock itself.
    let mut in_use = loop {
        match IN_USE.try_lock() {
            Ok(in_use) => break Some(in_use),
            Err(std::sync::TryLockError::Poisoned(in_use)) => break Some(in_use.into_inner()),
            Err(_) if begun.elapsed() < DRAWN_WITHIN => std::thread::yield_now(),
            Err(_) => break None,
        }
    };
    if let Some(in_use) = &mut in_use
        && !std::mem::replace(&mut **in_use, false)
    {
        return;
    }
    // If this fails, the terminal was closed.
    let _gone = execute!(io::stderr(), LeaveAlternateScreen, Show);
    let _gone = disable_raw_mode();
}

/// A process in the background that touches its terminal is stopped by the kernel.
fn may_have_terminal() -> bool {
    let stderr = io::stderr();
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
    let foreground = rustix::termios::tcgetpgrp(&stderr)
        // The terminal is not the one that controls this process.
        .map_or(true, |group| group == rustix::process::getpgrp());
    stderr.is_terminal() && !dumb && foreground
}

fn take_terminal() -> io::Result<Terminal<CrosstermBackend<Stderr>>> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            report(panic);
        }));
    });
    enable_raw_mode()?;
    *lock(&IN_USE) = true;
    let taken =
        execute!(io::stderr(), EnterAlternateScreen).and_then(|()| Terminal::new(CrosstermBackend::new(io::stderr())));
    if taken.is_err() {
        restore();
    }
    taken
}

/// The view's thread: until it is over, or the terminal is gone.
fn watch(mut terminal: Terminal<CrosstermBackend<Stderr>>, shared: &Shared, pressed: impl Fn(Key)) {
    let tid = rustix::thread::gettid();
    // Where the priority cannot be lowered, it stays.
    let _kept = rustix::process::setpriority_process(Some(tid), PRIORITY);
    let look = screen::Look::of_environment();
    let mut keys = true;
    let mut stopping = false;
    loop {
        let mut redraw = false;
        // Without a readable terminal there are no keys; the pictures come all the same.
        while keys {
            match next_event() {
                Ok(Some(event)) => {
                    if matches!(event, Event::Resize(..)) {
                        // Back to the same size, too, the terminal may have lost what it showed.
                        let _gone = terminal.clear();
                        redraw = true;
                    }
                    if let Some(key) = key(&event) {
                        stopping = true;
                        redraw = true;
                        pressed(key);
                    }
                }
                Ok(None) => break,
                Err(_) => keys = false,
            }
        }
        let mut state = lock(&shared.state);
        if !state.fresh && !redraw {
            let waited = shared.changed.wait_timeout(state, TURN);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.over {
            return;
        }
        if !std::mem::take(&mut state.fresh) && !redraw {
            continue;
        }
        let (step, now) = (state.step.clone(), state.now.clone());
        drop(state);
        let shown = Shown { step: &step, now: now.as_deref(), stopping };
        let in_use = lock(&IN_USE);
        if !*in_use || terminal.draw(|frame| screen::draw(frame, &shown, look)).is_err() {
            return;
        }
    }
}

fn next_event() -> io::Result<Option<Event>> {
    if event::poll(Duration::ZERO)? { event::read().map(Some) } else { Ok(None) }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else {
        return None;
    };
    match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Interrupt),
        KeyCode::Char('q' | 'Q') => Some(Key::Quit),
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shown_keys_have_a_meaning() {
        for (code, modifiers, expected, why) in [
            (KeyCode::Char('q'), KeyModifiers::NONE, Some(Key::Quit), "q"),
            (KeyCode::Char('Q'), KeyModifiers::SHIFT, Some(Key::Quit), "caps lock"),
            (KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Key::Interrupt), "raw mode makes no signal of it"),
            (KeyCode::Char('c'), KeyModifiers::NONE, None, "a letter"),
            (KeyCode::Enter, KeyModifiers::NONE, None, "an accident"),
        ] {
            let event = Event::Key(KeyEvent::new(code, modifiers));
            assert_eq!(key(&event), expected, "{why}");
        }
    }
}
