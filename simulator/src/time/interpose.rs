//! The C functions by which a program learns time and chance, answered by the simulation on its own threads.
//!
//! The linker takes these definitions instead of libc's, for the standard library and for every crate: `Instant::now`,
//! `SystemTime::now`, the keys of `HashMap`, the seeds of `rand`. On all other threads they pass to libc. This is the one
//! module with `unsafe`; it allocates nothing and takes no lock, since it may be called from anywhere.
#![allow(unsafe_code, reason = "C functions are defined and called here; each block says why it is sound")]
#![allow(unreachable_pub, reason = "the linker reaches them")]

use std::{
    cell::{Cell, RefCell},
    ffi::{c_int, c_uint, c_void},
    mem::transmute,
    slice,
    sync::atomic::{AtomicPtr, Ordering},
    time::{Duration, Instant},
};

use rand_chacha::{ChaCha8Rng, rand_core::Rng};

/// What `CLOCK_MONOTONIC` says when a simulation begins: anything but zero, which some programs take for "never".
const MONOTONIC: Duration = Duration::from_secs(1_000_000);

/// What the wall clock says then: 2026-01-01 00:00 UTC.
const REALTIME: Duration = Duration::from_secs(1_767_225_600);

thread_local! {
    // None of these has a destructor: they can be read until the thread is gone.
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
    static ENTROPY: RefCell<Option<ChaCha8Rng>> = const { RefCell::new(None) };
    /// On: this thread simulates.
    static ON: Cell<bool> = const { Cell::new(false) };
    /// The clock is being read: tokio asks the standard library, which asks us.
    static READING: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread has the clock of the tokio runtime it runs, and chance from `entropy`.
pub(super) fn enter(entropy: ChaCha8Rng) {
    ENTROPY.set(Some(entropy));
    BEGUN.set(None);
    ON.set(true);
    // Without a runtime tokio's clock stands at the beginning.
    BEGUN.set(Some(Instant::now()));
}

/// From now on this thread has the clock and the chance of the system.
pub(super) fn leave() {
    ON.set(false);
}

/// Virtual time since the beginning of the simulation of this thread.
pub(super) fn elapsed() -> Option<Duration> {
    if !ON.try_with(Cell::get).unwrap_or(false) {
        return None;
    }
    let Some(begun) = BEGUN.get() else { return Some(Duration::ZERO) };
    if READING.replace(true) {
        return Some(Duration::ZERO);
    }
    let now = tokio::time::Instant::now().into_std();
    READING.set(false);
    Some(now.saturating_duration_since(begun))
}

type ClockGettime = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
type Getrandom = unsafe extern "C" fn(*mut c_void, usize, c_uint) -> isize;

/// libc's own definition, which ours hides.
fn next(name: &'static std::ffi::CStr, found: &AtomicPtr<c_void>) -> *mut c_void {
    let known = found.load(Ordering::Acquire);
    if !known.is_null() {
        return known;
    }
    // SAFETY: the name is a C string; dlsym may be called from any thread.
    let symbol = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    found.store(symbol, Ordering::Release);
    symbol
}

/// # Safety
/// As for `clock_gettime(3)`: `time` points to a `timespec` that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    static LIBC: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let base = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => Some(REALTIME),
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_BOOTTIME => {
            Some(MONOTONIC)
        }
        // The CPU time of threads and processes stays what it is.
        _ => None,
    };
    if let Some(base) = base
        && !time.is_null()
        && let Some(elapsed) = elapsed()
    {
        let now = base + elapsed;
        // SAFETY: not null, and the caller's to give.
        unsafe {
            (*time).tv_sec = libc::time_t::try_from(now.as_secs()).unwrap_or(libc::time_t::MAX);
            (*time).tv_nsec = libc::c_long::from(now.subsec_nanos().cast_signed());
        }
        return 0;
    }
    let symbol = next(c"clock_gettime", &LIBC);
    if symbol.is_null() {
        // SAFETY: the same arguments, to the kernel instead.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as c_int;
    }
    // SAFETY: libc's symbol of that name has this type.
    let libc = unsafe { transmute::<*mut c_void, ClockGettime>(symbol) };
    // SAFETY: the caller's arguments, unchanged.
    unsafe { libc(clock, time) }
}

/// # Safety
/// As for `getrandom(2)`: `buffer` points to `len` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, len: usize, flags: c_uint) -> isize {
    static LIBC: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
    let on = ON.try_with(Cell::get).unwrap_or(false);
    if on && len == 0 {
        return 0;
    }
    if on && !buffer.is_null() {
        // SAFETY: so many bytes at that place are the caller's to give; they are written before anybody reads them.
        let bytes = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), len) };
        let filled = ENTROPY.with(|entropy| match entropy.try_borrow_mut() {
            Ok(mut entropy) => entropy.as_mut().map(|entropy| entropy.fill_bytes(bytes)),
            Err(_) => None,
        });
        if filled.is_some() {
            return len.cast_signed();
        }
    }
    let symbol = next(c"getrandom", &LIBC);
    if symbol.is_null() {
        // SAFETY: the same arguments, to the kernel instead.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) } as isize;
    }
    // SAFETY: libc's symbol of that name has this type.
    let libc = unsafe { transmute::<*mut c_void, Getrandom>(symbol) };
    // SAFETY: the caller's arguments, unchanged.
    unsafe { libc(buffer, len, flags) }
}
