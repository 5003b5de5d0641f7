//! What a run's sockets need of this machine's memory, counted before the run.

use std::fs;

use reports::units;

use crate::ground::environment::meminfo_bytes;

/// What the kernel takes for one end of an idle TCP connection: 4.3 to 5.1 kB of slab were measured.
const KERNEL_BYTES_PER_END: u64 = 4_500;
/// What the generator keeps of a held socket; 175 to 260 bytes were measured.
const OWN_BYTES: u64 = 300;
/// What the generator keeps of a session that polls, with its poll in flight.
const OWN_BYTES_POLLING: u64 = 1_000;
/// rustls's state and buffers, of one end.
const TLS_BYTES: u64 = 24_000;
/// What the embedded gate keeps of a socket; 91 to 190 bytes were measured.
const GATE_BYTES: u64 = 250;
/// Memory of each process of generator or gate before its first socket: program, stacks, recorders.
const PROCESS_BYTES: u64 = 24_000_000;

/// The run needs more memory than there is.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "{sockets} sockets that are open at once need about {} of memory ({each_bytes} bytes each, {kernel_bytes} of them in \
     the kernel{}), but {} are available (MemAvailable in /proc/meminfo); ask for fewer --connections, --hold them \
     shorter, or free some{}",
    units::bytes(*.needed_bytes as f64),
    if .ends.both { ", for both ends" } else { "" },
    units::bytes(*.available_bytes as f64),
    if .ends.both { "; a target on another machine has its end there" } else { "" }
)]
pub struct TooLittleMemory {
    sockets: u64,
    each_bytes: u64,
    kernel_bytes: u64,
    needed_bytes: u64,
    available_bytes: u64,
    ends: Ends,
}

/// Which ends of the sockets are on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Whether the server's end is on this machine too.
    pub both: bool,
    /// Whether that server is the embedded one.
    pub embedded: bool,
    /// Whether the sockets use TLS.
    pub tls: bool,
}

/// The sockets and processes that need memory at once.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// Sockets.
    pub sockets: u64,
    /// Processes of the generator.
    pub processes: usize,
    /// Whether the sockets poll to their end.
    pub polls: bool,
    /// Which of their ends are on this machine.
    pub ends: Ends,
}

/// Whether this machine has enough memory. Where `/proc/meminfo` cannot be read, the run is allowed.
pub fn check_memory(need: Need) -> Result<(), TooLittleMemory> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = meminfo_bytes(&meminfo, "MemAvailable");
    available.map_or(Ok(()), |available_bytes| enough_memory(need, available_bytes))
}

fn enough_memory(need: Need, available_bytes: u64) -> Result<(), TooLittleMemory> {
    let Need { sockets, processes, polls, ends } = need;
    let kernel_bytes = KERNEL_BYTES_PER_END * (1 + u64::from(ends.both));
    let own_bytes = if polls { OWN_BYTES_POLLING } else { OWN_BYTES };
    let gate_bytes = if ends.embedded { GATE_BYTES } else { 0 };
    let tls_bytes = if ends.tls { TLS_BYTES } else { 0 };
    let each_bytes = kernel_bytes + own_bytes + gate_bytes + tls_bytes;
    let needed_bytes = sockets.saturating_mul(each_bytes).saturating_add(processes as u64 * PROCESS_BYTES);
    if needed_bytes <= available_bytes {
        return Ok(());
    }
    Err(TooLittleMemory { sockets, each_bytes, kernel_bytes, needed_bytes, available_bytes, ends })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    #[test]
    fn memory_is_counted_for_the_ends_on_this_machine() {
        let here = Ends { both: true, embedded: true, tls: false };
        let away = Ends { both: false, embedded: false, tls: false };
        let encrypted = Ends { tls: true, ..away };
        for (sockets, ends, available_bytes, part, why) in [
            (100_000, here, GB, None, "9,550 bytes each"),
            (110_000, here, GB, Some("110000 sockets that are open at once need about 1.0"), "just too many"),
            (
                110_000,
                here,
                GB,
                Some("(9550 bytes each, 9000 of them in the kernel, for both ends)"),
                "what each takes",
            ),
            (110_000, here, GB, Some("a target on another machine"), "what helps"),
            (110_000, away, GB, None, "the other end is elsewhere"),
            (110_000, encrypted, GB, Some("28800 bytes each"), "TLS keeps buffers"),
            (u64::MAX, away, GB, Some("--hold them shorter"), "without end"),
        ] {
            let error = enough_memory(Need { sockets, processes: 1, polls: false, ends }, available_bytes).err();
            assert_eq!(error.is_some(), part.is_some(), "{why}: {error:?}");
            let text = error.map_or(String::new(), |error| error.to_string());
            assert!(text.contains(part.unwrap_or_default()), "{why}: {text}");
        }
    }
}
