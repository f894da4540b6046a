use super::*;
use proptest::prelude::*;

const SECOND_NS: u64 = 1_000_000_000;

fn read(text: &str) -> Result<FaultScript, FaultError> {
    text.parse()
}

#[test]
fn a_script_reads_as_it_is_meant() {
    let text = "# seed 4711\n\
        at 12.500s drop private order 3   # the next three\n\
        \n\
        at 20s for 4s delay private execution 800ms\n\
        at 31s cut trade mid-frame\n\
        at 40s for 10s silence private\n\
        at 41s for 2s clock -1500ms\n\
        at 50s refuse cancel 110001 2\n\
        at 51s race filled-twice\n\
        at 52s reprice 3ticks 2\n";
    let script = read(text).unwrap();
    assert_eq!(script.seed, Some(4711));
    let dropped = Act::Message { how: MessageFault::Drop, channel: Channel::Private, topic: Some(Topic::Order) };
    assert_eq!(script.faults[0], Fault { at_ns: 12_500_000_000, for_ns: None, act: dropped, count: Some(3) });
    let delayed = MessageFault::Delay(800_000_000);
    let act = Act::Message { how: delayed, channel: Channel::Private, topic: Some(Topic::Execution) };
    assert_eq!(script.faults[1], Fault { at_ns: 20 * SECOND_NS, for_ns: Some(4 * SECOND_NS), act, count: None });
    assert_eq!(script.faults[2].act, Act::Cut(Channel::Trade, CutAt::MidFrame));
    assert_eq!(script.faults[3].act, Act::Silence(Channel::Private));
    assert_eq!(script.faults[4].act, Act::Clock { ahead_ns: -1_500_000_000 });
    assert_eq!(script.faults[5].act, Act::Request(RequestFault::Refuse(110_001), Request::Cancel));
    assert_eq!(script.faults[6].act, Act::Race { is_told_twice: true });
    assert_eq!(script.faults[7].act, Act::Reprice { ticks: 3 });
    assert_eq!(read(&script.to_string()).unwrap(), script);
    let written = script.to_string();
    assert!(written.starts_with("# seed 4711\nat 12.5s drop private order 3\nat 20s for 4s delay"), "{written}");
}

#[test]
fn errors_name_the_line_and_the_word() {
    for (text, line, word) in [
        ("at 1s freeze", 1, "freeze"),
        ("# x\nat 1s dorp private", 2, "dorp"),
        ("at 1s drop privat", 1, "privat"),
        ("at 1s drop public order", 1, "order"),
        ("at one drop public", 1, "one"),
        ("at 1.s drop public", 1, "1.s"),
        ("at 1s for 2s cut trade", 1, "cut"),
        ("at 1s cut private mid-order", 1, "mid-order"),
        ("at 1s drop private order 0", 1, "0"),
        ("at 1s refuse order", 1, ""),
        ("at 1s http 200", 1, "200"),
        ("at 1s restart book now", 1, "now"),
        ("\n\nfor 1s ban", 3, "for"),
        ("at 99999999999999999999s freeze", 1, "99999999999999999999s"),
        ("at 1s clock 2s", 1, "2s"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!((error.line, error.word.as_str()), (line, word), "{text}: {error}");
        assert!(error.to_string().contains("expected"), "{error}");
    }
}

#[test]
fn a_generated_script_is_its_seeds_and_ends_quietly() {
    let duration_ns = 150 * SECOND_NS;
    let mut names = std::collections::BTreeSet::new();
    for seed in 0..500 {
        let script = FaultScript::generate(seed, duration_ns);
        assert_eq!(script, FaultScript::generate(seed, duration_ns));
        assert_eq!(read(&script.to_string()).as_ref(), Ok(&script), "seed {seed}\n{script}");
        for fault in &script.faults {
            assert!(fault.end_ns() <= duration_ns - 20 * SECOND_NS, "seed {seed}: {fault}");
            assert!(fault.at_ns >= generate::CALM_NS, "seed {seed}: {fault}");
            names.insert(fault.act.name());
        }
    }
    for verb in [
        "drop",
        "duplicate",
        "delay",
        "reorder",
        "corrupt",
        "silence",
        "stall",
        "half-open",
        "cut",
        "kick",
        "lose",
        "hold",
        "refuse",
        "doubt",
        "http",
        "ban",
        "restart trade",
        "restart venue",
        "restart book",
        "snapshot",
        "reprice",
        "race fill-first",
        "race filled-twice",
        "clock",
        "freeze",
    ] {
        assert!(names.iter().any(|name| name.starts_with(verb)), "no seed of 500 has {verb}");
    }
    assert_eq!(FaultScript::generate(1, SECOND_NS).faults, []);
}

proptest! {
    #[test]
    fn scripts_read_back_as_they_were_written(seed in any::<u64>(), at_ns in any::<u64>(), for_ns in 1..u64::MAX) {
        let mut script = FaultScript::generate(seed, 400 * SECOND_NS);
        // Any time to the nanosecond, not only round ones.
        for fault in &mut script.faults {
            fault.at_ns = at_ns.wrapping_add(fault.at_ns);
            fault.for_ns = fault.for_ns.map(|_| for_ns);
        }
        prop_assert_eq!(read(&script.to_string()), Ok(script));
    }

    #[test]
    fn no_text_panics(text in "[at for0-9a-z .#\\n-]{0,80}", word in "\\PC{0,20}") {
        let _ = read(&text);
        let _ = read(&format!("at 1s drop {word}"));
        let _ = read(&format!("at {word} for {word} {word}"));
    }
}
