//! Torn, damaged and continued journals.

use std::path::{Path, PathBuf};

use super::*;
use crate::journal::{JournalHeader, segment_path};
use crate::types::{Book, BookKind, Event, Level, Lots, Meta, Nanos, Record, Ticks};

fn events(path: &Path) -> Result<Vec<u64>, JournalError> {
    let mut reader = JournalReader::open(path)?;
    let mut seen = Vec::new();
    while let Some(event) = reader.next_event()? {
        seen.push(event.meta().recv.get());
    }
    Ok(seen)
}

#[test]
fn a_torn_tail_is_cut_and_damage_is_found() {
    let dir = std::env::temp_dir().join(format!("tercel-journal-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("whole.tj");
    let mut writer = JournalWriter::create(&path, &JournalHeader::default()).unwrap();
    let levels: Vec<Level> = (0..7).map(|i| Level { px: Ticks::new(i), qty: Lots::new(i) }).collect();
    for n in 0..5u64 {
        let meta = Meta { recv: Nanos::new(n), ..Meta::default() };
        let book = Book { meta, kind: BookKind::Delta, cross_seq: 0, bids: &levels[..3], asks: &levels[3..] };
        let event = Event::Book(book);
        let records: Vec<Record> = (0..event.record_count()).map(|i| event.record(i)).collect();
        writer.append(records.into_iter()).unwrap();
    }
    writer.sync().unwrap();
    assert!(JournalWriter::create(&path, &JournalHeader::default()).is_err(), "a journal is never overwritten");
    assert_eq!(events(&path).unwrap(), [0, 1, 2, 3, 4]);

    let bytes = std::fs::read(&path).unwrap();
    let torn = dir.join("torn.tj");
    let entry = 2 + 4 * RECORD_BYTES + 4;
    let begin = bytes.len() - 5 * entry;
    // Synced: what is missing then was lost, and what is changed is damage.
    for cut in begin..bytes.len() {
        std::fs::write(&torn, &bytes[..cut]).unwrap();
        assert!(matches!(events(&torn), Err(JournalError::Lost { .. })), "{cut}");
    }
    let mut damaged = bytes.clone();
    damaged[begin + entry + 20] ^= 1;
    std::fs::write(&torn, &damaged).unwrap();
    assert!(matches!(events(&torn), Err(JournalError::Damaged { entry: 1, .. })));
    // Not synced beyond the second entry, as the older mark would say: a torn tail is cut, whatever it holds.
    let durable = begin + 2 * entry;
    let mark = DurableMark { bytes: durable as u64, entries: 2, ..DurableMark::default() }.write();
    for slot in 0..2 {
        damaged[MAGIC.len() + slot * MARK_BYTES..][..MARK_BYTES].copy_from_slice(&mark);
    }
    std::fs::write(&torn, &damaged).unwrap();
    assert!(matches!(events(&torn), Err(JournalError::Damaged { entry: 1, .. })), "below the mark");
    damaged[begin + entry + 20] ^= 1;
    for cut in durable..bytes.len() {
        std::fs::write(&torn, &damaged[..cut]).unwrap();
        assert_eq!(events(&torn).unwrap().len(), (cut - begin) / entry);
        let zeros = [&damaged[..cut], &[0; 1000]].concat();
        std::fs::write(&torn, &zeros).unwrap();
        assert_eq!(events(&torn).unwrap().len(), (cut - begin) / entry);
    }
    // A header that was changed is not believed.
    for at in [HEADER_AT, HEADER_AT + 10, begin - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&torn, &damaged).unwrap();
        assert!(matches!(events(&torn), Err(JournalError::Header(_))), "{at}");
    }
    std::fs::write(&torn, b"hello").unwrap();
    assert!(matches!(events(&torn), Err(JournalError::NotAJournal { .. })));
    std::fs::remove_dir_all(&dir).unwrap();
}

/// An entry of one record.
const ENTRY: usize = 2 + RECORD_BYTES + 4;

/// Ten timers over three segments (3, 3, 4), synced and closed in the end if `is_closed`; returns the first's path.
fn three_segments(name: &str, is_closed: bool) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("tercel-journal-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("run-01.tj");
    let mut writer = JournalWriter::create(&path, &JournalHeader::default()).unwrap();
    for n in 0..10u64 {
        if n == 3 || n == 6 {
            writer.rotate().unwrap();
        }
        let event = Event::Timer(Meta { recv: Nanos::new(n), ..Meta::default() });
        writer.append([event.record(0)].into_iter()).unwrap();
    }
    if is_closed { writer.close() } else { writer.sync() }.unwrap();
    path
}

#[test]
fn a_chain_of_segments_reads_like_one_file() {
    for is_closed in [true, false] {
        let path = three_segments(&format!("chain-{is_closed}"), is_closed);
        assert_eq!(events(&path).unwrap(), (0..10).collect::<Vec<_>>());
        let mut reader = JournalReader::open(&path).unwrap();
        while reader.next_event().unwrap().is_some() {}
        let mark = reader.durable_mark();
        assert_eq!((mark.entries, mark.is_closed, reader.entries(), reader.is_cut()), (10, is_closed, 10, false));
        let second = segment_path(&path, 1);
        assert!(matches!(events(&second), Err(JournalError::NotTheFirst { segment: 1, .. })));
        // The journal says that it goes on there.
        let bytes = std::fs::read(&second).unwrap();
        std::fs::remove_file(&second).unwrap();
        assert!(matches!(events(&path), Err(JournalError::Segment { .. })));
        // Another journal's segment in its place.
        let text = String::from_utf8_lossy(&bytes).find("\"run_id\":0").unwrap();
        let mut foreign = bytes;
        foreign[text + 9] = b'7';
        std::fs::write(&second, &foreign).unwrap();
        assert!(matches!(events(&path), Err(JournalError::Header(_))), "its checksum is another");
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}

/// Takes back the marks of a segment, as if the disk had not come to them.
fn without_marks(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[MAGIC.len()..HEADER_AT].fill(0);
    bytes
}

#[test]
fn a_chain_may_be_torn_where_nothing_was_durable_and_nowhere_else() {
    let path = three_segments("torn", false);
    let (second, third) = (segment_path(&path, 1), segment_path(&path, 2));
    let [one, two, three] = [&path, &second, &third].map(|path| std::fs::read(path).unwrap());
    let begin = |bytes: &[u8], entries: usize| bytes.len() - entries * ENTRY;
    // The last segment, torn at every byte: below its mark it is lost, without a mark it is cut.
    for cut in 0..three.len() {
        std::fs::write(&third, &three[..cut]).unwrap();
        let found = events(&path);
        assert!(
            matches!(
                found,
                Err(JournalError::Lost { .. } | JournalError::Header(_) | JournalError::NotAJournal { .. })
            ),
            "{cut}"
        );
        let unmarked = without_marks(&three);
        std::fs::write(&third, &unmarked[..cut]).unwrap();
        // The segment before says that it goes on here: its header was on the disk before that was said.
        let begin = begin(&three, 4);
        match events(&path) {
            Ok(found) => assert_eq!(found.len(), 6 + (cut - begin) / ENTRY, "{cut}"),
            Err(_) => assert!(cut < begin, "{cut}"),
        }
    }
    // The second torn by a power cut before its last word: the third, which has no mark then, does not count.
    std::fs::write(&third, without_marks(&three)).unwrap();
    for cut in begin(&two, 3)..two.len() {
        std::fs::write(&second, &without_marks(&two)[..cut]).unwrap();
        assert_eq!(events(&path).unwrap().len(), 3 + (cut - begin(&two, 3)) / ENTRY, "{cut}");
    }
    // Killed before its last word, and nothing torn: the third counts whole, without any mark.
    std::fs::write(&second, without_marks(&two)).unwrap();
    assert_eq!(events(&path).unwrap().len(), 10);
    // Killed while the third was begun.
    for cut in 0..begin(&three, 4) {
        std::fs::write(&third, &three[..cut]).unwrap();
        assert_eq!(events(&path).unwrap().len(), 6, "{cut}");
    }
    // The third has a mark, so the second was synced whole: that some of it is missing is a loss.
    std::fs::write(&third, &three).unwrap();
    std::fs::write(&second, &without_marks(&two)[..two.len() - 1]).unwrap();
    assert!(matches!(events(&path), Err(JournalError::Lost { entries: 5, .. })));
    std::fs::write(&second, &two).unwrap();
    std::fs::write(&path, &one).unwrap();
    assert_eq!(events(&path).unwrap().len(), 10);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}
