//! What a check found, step by step: for people as it goes, as JSON at the end.

use serde_json::{Value, json};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As expected.
    Pass,
    /// Not as expected.
    Fail,
    /// Not tried.
    Skip,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        }
    }
}

struct Step {
    name: &'static str,
    verdict: Verdict,
    expected: String,
    found: String,
}

/// All steps so far.
#[derive(Default)]
pub(super) struct Report {
    steps: Vec<Step>,
    is_quiet: bool,
}

impl Report {
    /// Makes a report; a quiet one prints nothing as it goes.
    pub fn new(is_quiet: bool) -> Self {
        Self { steps: Vec::new(), is_quiet }
    }

    /// Notes a step.
    pub fn note(&mut self, name: &'static str, verdict: Verdict, expected: &str, found: impl Into<String>) {
        let found = found.into();
        if !self.is_quiet {
            println!("{}  {name:<22} {found}", verdict.name());
            if verdict == Verdict::Fail {
                println!("      {:<22} expected: {expected}", "");
            }
        }
        self.steps.push(Step { name, verdict, expected: expected.to_owned(), found });
    }

    /// Notes a step that passes if `is_good`; returns whether it did.
    pub fn check(&mut self, name: &'static str, is_good: bool, expected: &str, found: impl Into<String>) -> bool {
        self.note(name, if is_good { Verdict::Pass } else { Verdict::Fail }, expected, found);
        is_good
    }

    /// Notes a step that passes if there is an outcome, which it returns.
    pub fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        outcome: Result<T, String>,
        say: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.note(name, Verdict::Pass, expected, say(&value));
                Some(value)
            }
            Err(error) => {
                self.note(name, Verdict::Fail, expected, error);
                None
            }
        }
    }

    /// Notes a step that was not tried.
    pub fn skip(&mut self, name: &'static str, why: &str) {
        self.note(name, Verdict::Skip, "", why);
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.steps.iter().filter(|step| step.verdict == verdict).count()
    }

    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }

    /// The last line.
    pub fn summary(&self) -> String {
        let [pass, fail, skip] = [Verdict::Pass, Verdict::Fail, Verdict::Skip].map(|verdict| self.count(verdict));
        format!("{pass} passed, {fail} failed, {skip} skipped")
    }

    /// Everything.
    pub fn json(&self, venue: &str) -> Value {
        let step = |step: &Step| {
            json!({
                "name": step.name, "verdict": step.verdict.name(), "expected": step.expected, "found": step.found,
            })
        };
        json!({
            "venue": venue,
            "good": self.is_good(),
            "passed": self.count(Verdict::Pass),
            "failed": self.count(Verdict::Fail),
            "skipped": self.count(Verdict::Skip),
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
        })
    }
}
