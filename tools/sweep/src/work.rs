//! Jobs over all cores: each worker plays one configuration over one capture at a time.
//!
//! A replay needs one thread that works and one that reads ahead and sleeps, so as many replays as cores keep the cores busy without
//! waiting for each other. Memory: for each worker one engine, its books and rings, and four pieces of a megabyte of the capture.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tercel::ring::Flag;
use tercel::venue::FeedConfig;

use crate::failure::Outcome;
use crate::log::{Job, Log};
use crate::market::Markets;
use crate::space::Space;
use crate::stop::Stop;
use crate::trial::{TrialPlan, run};

/// Time between two looks at Ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A configuration and a capture, by their places.
pub type Pair = (usize, usize);

/// The jobs that are not done yet, in the order in which they are played.
pub fn missing(space: &Space, markets: &Markets, log: &Log) -> Vec<Pair> {
    let is_done = |set: usize, capture: usize| {
        log.done().contains_key(&(space.sets[set].key.clone(), markets.all[capture].key.key.clone()))
    };
    let all = (0..space.sets.len()).flat_map(|set| (0..markets.all.len()).map(move |capture| (set, capture)));
    all.filter(|(set, capture)| !is_done(*set, *capture)).collect()
}

/// Plays jobs; returns whether all of them were played, or somebody asked for the end.
///
/// # Errors
/// The log cannot be written.
pub fn play(
    pairs: &[Pair],
    space: &Space,
    markets: &Markets,
    feed: FeedConfig,
    workers: usize,
    log: &mut Log,
    stop: &Stop,
) -> Outcome<bool> {
    let (next, halt) = (AtomicUsize::new(0), Flag::new());
    let (to_us, results) = channel();
    let mut progress = Progress::new(pairs, markets);
    std::thread::scope(|scope| {
        for _ in 0..workers.clamp(1, pairs.len().max(1)) {
            let (to_us, next, halt) = (to_us.clone(), &next, halt.clone());
            scope.spawn(move || {
                while !halt.is_set() {
                    let Some(&(set, capture)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    let market = &markets.all[capture];
                    let plan = TrialPlan {
                        captures: &market.captures,
                        folds: market.folds,
                        window_ns: markets.window_ns,
                        sample_ns: markets.sample_ns,
                        feed,
                    };
                    let results = run(&space.sets[set].config, &plan, &halt);
                    // What was ended early is worth nothing.
                    if halt.is_set() || to_us.send(((set, capture), results)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(to_us);
        let mut outcome = Ok(());
        loop {
            match results.recv_timeout(LOOK_EVERY) {
                Ok(((set, capture), results)) if outcome.is_ok() => {
                    let has_failed = results.iter().any(|it| it.failure.is_some());
                    let (set, market) = (&space.sets[set], &markets.all[capture]);
                    outcome = log.append(Job {
                        set: set.key.clone(),
                        capture: market.key.key.clone(),
                        parameters: space.describe(&set.values),
                        results,
                    });
                    if outcome.is_err() {
                        halt.set();
                    }
                    progress.done(market.messages, has_failed);
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                // All workers have ended.
                Err(RecvTimeoutError::Disconnected) => break,
            }
            progress.look();
            if stop.is_asked() {
                halt.set();
            }
        }
        progress.clear();
        outcome.map(|()| !halt.is_set())
    })
}

/// How far it is: a bar on a terminal, a line now and then elsewhere.
struct Progress {
    bar: Option<ProgressBar>,
    jobs: usize,
    done: usize,
    failed: usize,
    messages: u64,
    messages_done: u64,
    started: Instant,
    printed: Instant,
}

impl Progress {
    fn new(pairs: &[Pair], markets: &Markets) -> Self {
        let messages = pairs.iter().map(|(_, capture)| markets.all[*capture].messages).sum();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(messages);
            if let Ok(style) =
                ProgressStyle::with_template("{percent:>3} % {wide_bar} {msg}  {elapsed} gone, {eta} left")
            {
                bar.set_style(style);
            }
            bar.set_message(format!("0 of {} jobs", pairs.len()));
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let now = Instant::now();
        Self { bar, jobs: pairs.len(), done: 0, failed: 0, messages, messages_done: 0, started: now, printed: now }
    }

    fn done(&mut self, messages: u64, has_failed: bool) {
        self.done += 1;
        self.failed += usize::from(has_failed);
        self.messages_done += messages;
        if let Some(bar) = &self.bar {
            bar.set_message(self.text());
            bar.inc(messages);
        }
    }

    fn text(&self) -> String {
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        format!("{} of {} jobs{failed}", self.done, self.jobs)
    }

    fn look(&mut self) {
        if self.bar.is_some() || self.printed.elapsed() < LINE_EVERY {
            return;
        }
        self.printed = Instant::now();
        let left = self.messages.saturating_sub(self.messages_done) as f64;
        let left_s = self.started.elapsed().as_secs_f64() * left / self.messages_done.max(1) as f64;
        let left = if self.messages_done == 0 { String::new() } else { format!(", about {left_s:.0} s left") };
        // Nobody is helped by an error about a status line.
        let _ = writeln!(std::io::stderr(), "{}{left}", self.text());
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
