//! A recording in one file or in many, each with its sidecar.
//!
//! Files of a rotated recording are named by their time, `OUT-20261126T041700.123456Z.jsonl.zst`, so that their names sort like their times. Each
//! can be replayed alone, because it begins with the state that the one before it reached ([`Opening`]), and all together in order,
//! because no message is in two files or in none: the state that a file begins with is then what the book is anyway.

use std::io;
use std::path::{Path, PathBuf};

use super::capture::CaptureWriter;
use super::frame_queue::Item;
use super::meta::{CaptureMeta, Recording, meta_path};
use super::opening::Opening;
use crate::types::date;

/// When another file is begun; whichever comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes of messages, before compression.
    pub bytes: Option<u64>,
    /// Nanoseconds.
    pub every_ns: Option<u64>,
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Files.
    pub files: u64,
    /// The last of them.
    pub last: PathBuf,
    /// Messages of the venue.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Gaps.
    pub gaps: u64,
}

struct Open {
    writer: CaptureWriter,
    path: PathBuf,
    began_ns: u64,
    /// Bytes of the state that it begins with.
    opening_bytes: u64,
    recording: Recording,
}

/// See the module's documentation.
pub struct CaptureFiles {
    out: PathBuf,
    rotation: Rotation,
    meta: CaptureMeta,
    /// `None` where there is one file only.
    opening: Option<Opening>,
    open: Open,
    newest_ns: u64,
    recorded: Recorded,
}

impl CaptureFiles {
    /// Begins a recording; `opening` is what a rotated one needs to begin files in the middle.
    ///
    /// # Errors
    /// Whatever the system says; no file is overwritten.
    pub fn create(
        out: &Path,
        rotation: Rotation,
        meta: CaptureMeta,
        opening: Opening,
        now_ns: u64,
    ) -> io::Result<Self> {
        let is_rotated = rotation != Rotation::default();
        let path = if is_rotated { name_of(out, now_ns) } else { out.to_owned() };
        Ok(Self {
            out: out.to_owned(),
            rotation,
            meta,
            opening: is_rotated.then_some(opening),
            open: Open::create(path, now_ns)?,
            newest_ns: 0,
            recorded: Recorded::default(),
        })
    }

    /// Takes what comes out of the queue.
    ///
    /// # Errors
    /// Whatever the system says. A message that the line form cannot hold is one of them.
    pub fn take(&mut self, item: Item<'_>) -> io::Result<()> {
        match item {
            Item::Gap(gap) => {
                if let Some(opening) = &mut self.opening {
                    opening.interrupted(gap.to_ns);
                }
                self.open.recording.gaps.push(gap);
                self.recorded.gaps += 1;
            }
            Item::Frame { recv_ns, message } => {
                if self.is_due(recv_ns) {
                    self.turn(recv_ns)?;
                }
                self.open.writer.append(recv_ns, message)?;
                if let Some(opening) = &mut self.opening {
                    opening.note(recv_ns, message);
                }
                self.newest_ns = recv_ns;
                self.recorded.messages += 1;
                self.recorded.bytes += message.len() as u64;
            }
        }
        Ok(())
    }

    /// Whether the message is to begin another file. Messages of one moment stay together: a replay of all files merges by time.
    fn is_due(&self, recv_ns: u64) -> bool {
        let age_ns = recv_ns.saturating_sub(self.open.began_ns);
        let is_long = self.rotation.bytes.is_some_and(|max| self.open.bytes() >= max);
        let is_old = self.rotation.every_ns.is_some_and(|max| age_ns >= max);
        // A microsecond is what names tell apart.
        (is_long || is_old) && recv_ns / 1_000 > self.newest_ns.max(self.open.began_ns) / 1_000
    }

    fn turn(&mut self, recv_ns: u64) -> io::Result<()> {
        let next = Open::create(name_of(&self.out, recv_ns), recv_ns)?;
        let whole = std::mem::replace(&mut self.open, next);
        self.recorded.files += 1;
        whole.finish(&self.meta)?;
        for message in self.opening.iter().flat_map(Opening::messages) {
            self.open.writer.append(recv_ns, message.as_bytes())?;
            self.open.opening_bytes += message.len() as u64;
            self.open.recording.opening_messages += 1;
        }
        Ok(())
    }

    /// Completes the last file.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn finish(self) -> io::Result<Recorded> {
        let Self { open, meta, mut recorded, .. } = self;
        recorded.files += 1;
        recorded.last.clone_from(&open.path);
        open.finish(&meta)?;
        Ok(recorded)
    }
}

impl Open {
    fn create(path: PathBuf, began_ns: u64) -> io::Result<Self> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let writer = CaptureWriter::create(&path).map_err(named)?;
        Ok(Self { writer, path, began_ns, opening_bytes: 0, recording: Recording::default() })
    }

    /// Bytes of the venue's messages.
    fn bytes(&self) -> u64 {
        self.writer.written().1 - self.opening_bytes
    }

    /// The sidecar comes first: a capture without one would be guessed at.
    fn finish(self, meta: &CaptureMeta) -> io::Result<()> {
        let Self { writer, path, recording, .. } = self;
        let recording = Some(recording).filter(|recording| *recording != Recording::default());
        let meta = CaptureMeta { recording, ..meta.clone() };
        meta.write(&meta_path(&path)).map_err(io::Error::other)?;
        writer.finish().map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    }
}

/// The name of a rotated recording's file that begins then.
fn name_of(out: &Path, at_ns: u64) -> PathBuf {
    let name = out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (stem, ending) = name.find(".jsonl").map_or((&name[..], ""), |at| name.split_at(at));
    let (s, micros) = (at_ns / 1_000_000_000, at_ns / 1_000 % 1_000_000);
    let (day, clock) = (date(s).replace('-', ""), s % 86_400);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    out.with_file_name(format!("{stem}-{day}T{hour:02}{minute:02}{second:02}.{micros:06}Z{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::naive::NaiveBook;
    use crate::journal::meta::{Gap, GapCause};
    use crate::journal::synthetic::{Synthetic, SyntheticConfig, generate, sidecar};
    use crate::journal::{Capture, CaptureFile, ClockKind, Merge};
    use crate::types::{Event, Level, Side, VenueId};
    use crate::venue::{Arrival, FeedConfig, MarketFeed};

    const CONFIG: SyntheticConfig =
        SyntheticConfig { instruments: 2, depth_events: 900, ..SyntheticConfig::new(VenueId::BYBIT, 9) };

    /// Best and worst levels, and how many: enough to tell books apart.
    type State = Vec<(usize, usize, Vec<Level>)>;

    /// The trades, the states of the books at the end, and whether anything did not fit.
    fn played(files: &[PathBuf]) -> (u64, State, u64) {
        let table = sidecar(&CONFIG).table().unwrap();
        let mut feed = MarketFeed::new(VenueId::BYBIT, &table, FeedConfig::default()).unwrap();
        let files: Vec<CaptureFile> =
            files.iter().map(|path| CaptureFile { path: path.clone(), clock: ClockKind::Unix, feed: 0 }).collect();
        let mut capture = Capture::default();
        Merge::open(&files).unwrap().fill(&mut capture, usize::MAX).unwrap();
        let mut books = [NaiveBook::default(), NaiveBook::default()];
        for frame in (0..capture.len()).filter_map(|idx| capture.get(idx)) {
            let mut sink = |event: &Event<'_>| {
                if let Event::Book(book) = event {
                    books[book.meta.instrument.idx()].apply(book);
                }
            };
            feed.on_frame(frame.message, Arrival { recv: frame.at, framed_ns: 0 }, || 0, &mut sink).unwrap();
        }
        let state = |book: &NaiveBook| {
            let levels = [Side::Bid, Side::Ask].into_iter().flat_map(|side| book.iter(side)).collect();
            (book.levels(Side::Bid), book.levels(Side::Ask), levels)
        };
        let c = feed.counters();
        (c.trades, books.iter().map(state).collect(), c.gaps + c.old_updates + c.decode_errors + c.unknown_messages)
    }

    fn record(dir: &Path, rotation: Rotation, made: &Synthetic) -> (Recorded, Vec<PathBuf>) {
        std::fs::create_dir_all(dir).unwrap();
        let table = sidecar(&CONFIG).table().unwrap();
        let out = dir.join("x.jsonl.gz");
        let opening = Opening::new(&table, 200);
        let mut files = CaptureFiles::create(&out, rotation, sidecar(&CONFIG), opening, made.lines[0].0).unwrap();
        for (recv_ns, message) in &made.lines {
            files.take(Item::Frame { recv_ns: *recv_ns, message }).unwrap();
        }
        let recorded = files.finish().unwrap();
        let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "gz")).collect();
        paths.sort();
        (recorded, paths)
    }

    #[test]
    fn each_file_can_be_replayed_alone_and_all_of_them_together() {
        let dir = std::env::temp_dir().join(format!("tercel-rotation-{}", std::process::id()));
        let made = generate(&CONFIG);
        let (_, whole) = record(&dir.join("whole"), Rotation::default(), &made);
        assert_eq!(whole, [dir.join("whole/x.jsonl.gz")]);
        let wanted = played(&whole);
        assert_eq!(wanted.2, 0);
        let span_ns = made.lines.last().unwrap().0 - made.lines[0].0;
        for (name, rotation, count) in [
            ("bytes", Rotation { bytes: Some(100_000), every_ns: None }, 4),
            ("every", Rotation { bytes: None, every_ns: Some(span_ns / 5) }, 5),
        ] {
            let (recorded, files) = record(&dir.join(name), rotation, &made);
            assert!(files.len() >= count && recorded.files == files.len() as u64, "{name}: {files:?}");
            assert_eq!(recorded.messages, made.lines.len() as u64);
            assert_eq!(&recorded.last, files.last().unwrap());
            assert_eq!(played(&files), wanted, "{name}: all together");
            let mut trades = 0;
            for (idx, file) in files.iter().enumerate() {
                let (here, books, unfit) = played(std::slice::from_ref(file));
                assert_eq!(unfit, 0, "{name}: {}", file.display());
                trades += here;
                let meta = CaptureMeta::read(&meta_path(file)).unwrap();
                // Two books, two tickers.
                assert_eq!(meta.recording.map_or(0, |r| r.opening_messages), if idx == 0 { 0 } else { 4 });
                if idx + 1 == files.len() {
                    assert_eq!(books, wanted.1, "{name}: the last file alone leads to the same books");
                }
            }
            assert_eq!(trades, wanted.0, "{name}: no trade is in two files");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_gap_stands_in_the_sidecar_and_ends_what_a_file_could_begin_with() {
        let dir = std::env::temp_dir().join(format!("tercel-rotation-gap-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let made = generate(&CONFIG);
        let table = sidecar(&CONFIG).table().unwrap();
        let rotation = Rotation { bytes: Some(20_000), every_ns: None };
        let began = made.lines[0].0;
        let out = dir.join("x.jsonl");
        let mut files =
            CaptureFiles::create(&out, rotation, sidecar(&CONFIG), Opening::new(&table, 200), began).unwrap();
        for (recv_ns, message) in &made.lines[..10] {
            files.take(Item::Frame { recv_ns: *recv_ns, message }).unwrap();
        }
        let gap = Gap { from_ns: made.lines[9].0, to_ns: made.lines[20].0, messages: 10, cause: GapCause::QueueFull };
        files.take(Item::Gap(gap.clone())).unwrap();
        for (recv_ns, message) in &made.lines[20..] {
            files.take(Item::Frame { recv_ns: *recv_ns, message }).unwrap();
        }
        let recorded = files.finish().unwrap();
        assert!(recorded.files > 3 && recorded.gaps == 1);
        let mut metas: Vec<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        metas.retain(|path| path.to_string_lossy().ends_with(".meta.json"));
        metas.sort();
        let gaps: Vec<Gap> =
            metas.iter().filter_map(|p| CaptureMeta::read(p).unwrap().recording).flat_map(|r| r.gaps).collect();
        assert_eq!(gaps, [gap]);
        // No snapshot came after the gap, so no book could be vouched for.
        let last = CaptureMeta::read(metas.last().unwrap()).unwrap().recording;
        assert_eq!(last.map_or(0, |recording| recording.opening_messages), 0);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn messages_of_one_moment_stay_in_one_file() {
        let dir = std::env::temp_dir().join(format!("tercel-rotation-moment-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let opening = Opening::new(&sidecar(&CONFIG).table().unwrap(), 200);
        let rotation = Rotation { bytes: Some(1), every_ns: None };
        let mut files = CaptureFiles::create(&dir.join("x.jsonl"), rotation, sidecar(&CONFIG), opening, 1_000).unwrap();
        for recv_ns in [1_000, 1_000, 1_999, 2_000] {
            files.take(Item::Frame { recv_ns, message: b"{}" }).unwrap();
        }
        assert_eq!(files.finish().unwrap().files, 2);
        let first = std::fs::read_to_string(dir.join("x-19700101T000000.000001Z.jsonl")).unwrap();
        assert_eq!(first, "1000\t{}\n1000\t{}\n1999\t{}\n");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn names_sort_like_their_times() {
        let out = Path::new("d/x.jsonl.zst");
        assert_eq!(name_of(out, 1_709_251_199_987_654_321), Path::new("d/x-20240229T235959.987654Z.jsonl.zst"));
        assert_eq!(name_of(Path::new("x"), 0), Path::new("x-19700101T000000.000000Z"));
    }
}
