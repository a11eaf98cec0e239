//! What this process has used.

use std::sync::atomic::Ordering::Relaxed;

use crate::alloc;
use crate::wire::Usage;

/// Returns what was used so far.
pub fn now() -> Usage {
    let bytes = alloc::BYTES.load(Relaxed);
    Usage {
        cpu: cpu_seconds(),
        mallocs: alloc::MALLOCS.load(Relaxed),
        alloc_bytes: bytes,
        heap: bytes.saturating_sub(alloc::FREED.load(Relaxed)),
        ..Usage::default()
    }
}

/// The same with the resident memory, after giving back to the system what the
/// allocator holds.
pub fn memory() -> Usage {
    // SAFETY: it has no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    Usage { rss: resident(), ..now() }
}

fn cpu_seconds() -> f64 {
    let mut r = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: r is a rusage to write to, and all zeros is one.
    let r = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, r.as_mut_ptr());
        r.assume_init()
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    seconds(r.ru_utime) + seconds(r.ru_stime)
}

fn resident() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|f| f.parse::<i64>().ok());
    // SAFETY: it has no preconditions.
    pages.unwrap_or(0) * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as i64
}
