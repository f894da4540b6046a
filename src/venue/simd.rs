//! Which vector instructions the decoders may use: asked of the processor once, when a decoder is made.
//!
//! Every level is compiled into every binary. A [`Simd`] is a proof: it can only be made if the processor has what it
//! names, and a usual message is decoded whole inside one function that is compiled for it.
#![allow(unsafe_code, reason = "calls into functions compiled for more than the target has; see `Simd::all`")]

use super::WireError;
#[cfg(target_arch = "x86_64")]
use super::column::{self, Sse};
use super::number::Numbers;
#[cfg(target_arch = "x86_64")]
use super::rows::{Wide, Widest};
use super::scan::{Never, PlainColumn, Scanner};
use super::source::{Grid, LevelBuf, Span};

/// A set of vector instructions that this processor has.
#[derive(Clone, Copy, Debug)]
pub enum Simd {
    /// None: eight bytes at a time in general registers.
    Plain(Plain),
    /// SSSE3 and SSE4.1.
    #[cfg(target_arch = "x86_64")]
    Sse41(Sse),
    /// AVX2, BMI1, BMI2 and POPCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2(Wide),
    /// What AVX2 has, and AVX-512 F, BW, VL and VBMI2.
    #[cfg(target_arch = "x86_64")]
    Avx512(Widest),
}

/// Work that is to be compiled once for each level.
pub(super) trait Job {
    type Out;
    /// Does the work; to be marked `inline(always)`.
    fn run<L: Numbers>(self, lanes: L) -> Self::Out;
}

/// One level's way to read levels.
pub(super) trait Lanes: Copy {
    /// Takes `[[price, quantity], …]` into `out`.
    fn levels<M: Lanes>(
        self,
        scanner: &mut Scanner<'_, M>,
        grids: (&Grid, &Grid),
        out: &mut LevelBuf,
    ) -> Result<Span, WireError>;
}

impl Simd {
    /// The best that the processor has.
    pub fn detect() -> Self {
        Self::all().last().unwrap_or(Self::Plain(Plain))
    }

    /// All that the processor has, the plainest first: for tests and measurements.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let more = [Sse::detect().map(Self::Sse41), Wide::detect().map(Self::Avx2), Widest::detect().map(Self::Avx512)];
        #[cfg(not(target_arch = "x86_64"))]
        let more: [Option<Self>; 0] = [];
        std::iter::once(Self::Plain(Plain)).chain(more.into_iter().flatten())
    }

    /// Its usual name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain(_) => "plain",
            #[cfg(target_arch = "x86_64")]
            Self::Sse41(_) => "sse4.1",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        }
    }

    /// Runs `job` in a function compiled for this level.
    #[inline(always)]
    pub(super) fn run<J: Job>(self, job: J) -> J::Out {
        match self {
            Self::Plain(lanes) => job.run(lanes),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: an `Sse` is made by `detect` alone, and only if the processor has both features.
            Self::Sse41(lanes) => unsafe { in_sse41(job, lanes) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Wide` is made by `detect` alone, and only if the processor has all these features.
            Self::Avx2(lanes) => unsafe { in_avx2(job, lanes) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Widest` is made by `detect` alone, and only if the processor has all these features.
            Self::Avx512(lanes) => unsafe { in_avx512(job, lanes) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "ssse3,sse4.1")]
fn in_sse41<J: Job>(job: J, lanes: Sse) -> J::Out {
    job.run(lanes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,popcnt,lzcnt")]
fn in_avx2<J: Job>(job: J, lanes: Wide) -> J::Out {
    job.run(lanes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi1,bmi2,popcnt,lzcnt")]
fn in_avx512<J: Job>(job: J, lanes: Widest) -> J::Out {
    job.run(lanes)
}

/// Asks at each list which way it is: for messages that are read key by key, which need not be compiled for each.
impl Lanes for Simd {
    #[inline]
    fn levels<M: Lanes>(
        self,
        scanner: &mut Scanner<'_, M>,
        grids: (&Grid, &Grid),
        out: &mut LevelBuf,
    ) -> Result<Span, WireError> {
        match self {
            Self::Plain(lanes) => lanes.levels(scanner, grids, out),
            #[cfg(target_arch = "x86_64")]
            Self::Sse41(lanes) => lanes.levels(scanner, grids, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(lanes) => lanes.levels(scanner, grids, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(lanes) => lanes.levels(scanner, grids, out),
        }
    }
}

/// Any processor.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Lanes for Plain {
    #[inline(always)]
    fn levels<M: Lanes>(
        self,
        scanner: &mut Scanner<'_, M>,
        grids: (&Grid, &Grid),
        out: &mut LevelBuf,
    ) -> Result<Span, WireError> {
        let LevelBuf { rows, px_written, qty_written } = out;
        let columns = (PlainColumn(px_written.of(grids.0)), PlainColumn(qty_written.of(grids.1)));
        scanner.levels_by(grids, rows, columns, Never)
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for Sse {
    #[inline(always)]
    fn levels<M: Lanes>(
        self,
        scanner: &mut Scanner<'_, M>,
        grids: (&Grid, &Grid),
        out: &mut LevelBuf,
    ) -> Result<Span, WireError> {
        let LevelBuf { rows, px_written, qty_written } = out;
        let columns = column::pair(self, px_written.of(grids.0), qty_written.of(grids.1));
        scanner.levels_by(grids, rows, columns, Never)
    }
}
