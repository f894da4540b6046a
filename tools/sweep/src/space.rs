//! A sweep file and a base configuration → the configurations that are tried, each checked by the ordinary parser.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Deserialize;
use tercel::backtest::sim_latency;
use tercel::config::Config;
use toml::{Table, Value};

use crate::axis::{Axis, Kind};
use crate::failure::{Failure, Outcome};
use crate::fingerprint::fingerprint;

/// Most parameter sets of one sweep.
pub const SETS_MAX: usize = 10_000;

/// Draws for each set that is asked for before a search gives up to find another one.
const DRAWS_PER_SET: usize = 100;

/// Tables of the configuration that a replay does not read.
const WITHOUT_EFFECT: [&str; 8] = ["threads", "journal", "guard", "ghost", "slow-risk", "scan", "validate", "venue"];

/// What a sweep file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SweepFile {
    /// What each parameter may be, by its path in the configuration.
    parameters: Table,
    /// How sets are chosen.
    #[serde(default)]
    pub search: Search,
    /// How they are judged.
    #[serde(default)]
    pub walk_forward: Option<WalkForward>,
    /// What is known beside.
    #[serde(default)]
    pub ranking: RankingTable,
}

/// How parameter sets are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, tag = "method", rename_all = "kebab-case")]
pub enum Search {
    /// All of them.
    #[default]
    Grid,
    /// So many different ones, drawn.
    Random {
        /// How many.
        trials: usize,
        /// Equal seeds draw equal sets.
        #[serde(default)]
        seed: u64,
    },
}

/// How folds are divided into those to choose by and those to judge by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WalkForward {
    /// Folds to choose by; with `anchored` the least number of them.
    pub train: usize,
    /// Folds that follow, to judge by.
    pub test: usize,
    /// Whether all earlier folds are chosen by, and not only the newest.
    #[serde(default)]
    pub anchored: bool,
}

/// What is known beside.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RankingTable {
    /// Sets that were tried on these markets before this sweep: luck has had so many more chances.
    pub earlier_trials: u64,
}

/// One configuration that is tried.
#[derive(Clone, Debug)]
pub struct ParameterSet {
    /// Each parameter's value, by the order of [`Space::paths`].
    pub values: Vec<Value>,
    /// The whole.
    pub config: Config,
    /// What it means, in few letters: equal for equal decisions.
    pub key: String,
}

/// Everything that is tried.
#[derive(Clone, Debug)]
pub struct Space {
    /// The base, without parameters.
    pub base: Config,
    /// What it means, in few letters.
    pub base_key: String,
    /// Parameters, sorted.
    pub paths: Vec<String>,
    /// Sets, in the order in which they were made.
    pub sets: Vec<ParameterSet>,
    /// The rest of the sweep file.
    pub file: SweepFile,
}

/// What configurations mean, in few letters: as far as it changes what a replay does, files of latencies included.
#[derive(Default)]
struct Keys {
    /// By what the configuration says of latencies: files are read once.
    latencies: HashMap<String, String>,
}

impl Keys {
    fn of(&mut self, config: &Config) -> Outcome<String> {
        let mut config = config.clone();
        config.threads = Config::default().threads;
        let simex = &config.simex;
        let said = format!("{} {} {}", simex.feed_latency, simex.entry_latency, simex.ack_latency);
        let latency = match self.latencies.get(&said) {
            Some(known) => known.clone(),
            None => {
                let found = fingerprint(format!("{:?}", sim_latency(&config)?).as_bytes());
                self.latencies.entry(said).or_insert(found).clone()
            }
        };
        Ok(fingerprint(format!("{config}{latency}").as_bytes()))
    }
}

impl Space {
    /// Reads a sweep file and the base configuration (the defaults without one).
    ///
    /// # Errors
    /// A file that cannot be read, a path that is unknown, a value that is not allowed: which, and what is.
    pub fn read(sweep: &Path, base: Option<&Path>) -> Outcome<Self> {
        let text =
            |file: &Path| std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("{}: {e}", file.display())));
        let base_text = base.map(text).transpose()?.unwrap_or_default();
        let base_name = base.map_or_else(|| PathBuf::from("the default configuration"), Path::to_owned);
        Self::parse(&text(sweep)?, sweep, &base_text, &base_name)
    }

    /// The same of texts; the paths are named in errors.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(sweep: &str, sweep_name: &Path, base: &str, base_name: &Path) -> Outcome<Self> {
        let error = |text: &dyn std::fmt::Display| Failure::usage(format!("{}: {text}", sweep_name.display()));
        let file: SweepFile = toml::from_str(sweep).map_err(|e| error(&e.to_string().trim_end()))?;
        let config = Config::parse(base, base_name).map_err(Failure::usage)?;
        let bug = |e: &dyn std::fmt::Display| Failure::from(format!("a configuration does not print: {e}"));
        // Parsed above as a configuration, so it is a table; with the defaults it says what kinds of values there are.
        let table: Table = base.parse().map_err(|e| bug(&e))?;
        let whole: Table = config.to_string().parse().map_err(|e| bug(&e))?;
        if file.parameters.is_empty() {
            return Err(error(&"[parameters]: found none, allowed are 1 and more"));
        }
        if let Some(WalkForward { train, test, .. }) = file.walk_forward
            && (train == 0 || test == 0)
        {
            return Err(error(&format!(
                "[walk-forward]: found train = {train}, test = {test}, allowed are 1 and more"
            )));
        }
        let (mut paths, mut axes) = (Vec::new(), Vec::new());
        let mut said: Vec<_> = file.parameters.iter().collect();
        said.sort_by_key(|(path, _)| *path);
        for (path, value) in said {
            let named = |text: String| error(&format!("parameter \"{path}\": {text}"));
            if path.split('.').next().is_some_and(|first| WITHOUT_EFFECT.contains(&first)) {
                return Err(named("changes nothing in a replay".to_owned()));
            }
            axes.push(Axis::read(path, value, Kind::of(look_up(&whole, path))).map_err(named)?);
            paths.push(path.clone());
        }
        let rows = match file.search {
            Search::Grid => grid(&axes, &paths),
            Search::Random { trials, seed } => random(&axes, &paths, trials, seed),
        };
        let mut keys = Keys::default();
        let mut space = Self { base_key: keys.of(&config)?, base: config, paths, sets: Vec::new(), file };
        let mut known = HashSet::new();
        for values in rows.map_err(|text| error(&text))? {
            let set = space.set(values, &table, base_name, &mut keys)?;
            if !known.insert(set.key.clone()) {
                let text = space.describe(&set.values);
                return Err(error(&format!("two sets mean the same configuration, one of them {text}")));
            }
            space.sets.push(set);
        }
        Ok(space)
    }

    /// A set in words.
    pub fn describe(&self, values: &[Value]) -> String {
        let one = |(path, value): (&String, &Value)| format!("{path} = {value}");
        self.paths.iter().zip(values).map(one).collect::<Vec<_>>().join(", ")
    }

    fn set(&self, values: Vec<Value>, base: &Table, base_name: &Path, keys: &mut Keys) -> Outcome<ParameterSet> {
        let mut table = base.clone();
        let label = format!("{} with {}", base_name.display(), self.describe(&values));
        for (path, value) in self.paths.iter().zip(&values) {
            put(&mut table, path, value.clone())
                .map_err(|at| Failure::usage(format!("{label}: `{at}` is no table")))?;
        }
        let text = toml::to_string(&table).map_err(|e| Failure::from(format!("{label}: {e}")))?;
        let config = Config::parse(&text, Path::new(&label)).map_err(Failure::usage)?;
        let key = keys.of(&config)?;
        Ok(ParameterSet { values, config, key })
    }
}

fn look_up<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut words = path.split('.');
    let first = table.get(words.next()?)?;
    words.try_fold(first, |value, word| value.get(word))
}

/// Puts a value where a path leads, and makes the tables on the way; fails with the part of the path that is something else.
fn put(table: &mut Table, path: &str, value: Value) -> Result<(), String> {
    let Some((way, key)) = path.rsplit_once('.') else {
        table.insert(path.to_owned(), value);
        return Ok(());
    };
    let mut at = table;
    for word in way.split('.') {
        let next = at.entry(word).or_insert_with(|| Value::Table(Table::new()));
        at = next.as_table_mut().ok_or_else(|| word.to_owned())?;
    }
    at.insert(key.to_owned(), value);
    Ok(())
}

/// Every combination; the last parameter changes first.
fn grid(axes: &[Axis], paths: &[String]) -> Result<Vec<Vec<Value>>, String> {
    let mut rows = vec![Vec::new()];
    let mut count: u128 = 1;
    let mut all = Vec::new();
    for (axis, path) in axes.iter().zip(paths) {
        let points = axis.points().ok_or_else(|| {
            format!("parameter \"{path}\": a grid needs step or steps; a range without them is for method = \"random\"")
        })?;
        count = count.saturating_mul(points.len() as u128);
        all.push(points);
    }
    if count > SETS_MAX as u128 {
        return Err(format!(
            "the grid has {count} sets, allowed are {SETS_MAX}: take larger steps, or method = \"random\" with so many trials"
        ));
    }
    for points in all {
        let longer = |row: &Vec<Value>| {
            points.iter().map(|value| [&row[..], std::slice::from_ref(value)].concat()).collect::<Vec<_>>()
        };
        rows = rows.iter().flat_map(longer).collect();
    }
    Ok(rows)
}

fn random(axes: &[Axis], paths: &[String], trials: usize, seed: u64) -> Result<Vec<Vec<Value>>, String> {
    if !(1..=SETS_MAX).contains(&trials) {
        return Err(format!("[search] trials: found {trials}, allowed are 1 to {SETS_MAX}"));
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut rows, mut known) = (Vec::with_capacity(trials), HashSet::new());
    for _ in 0..trials.saturating_mul(DRAWS_PER_SET) {
        if rows.len() == trials {
            break;
        }
        let mut row = Vec::with_capacity(axes.len());
        for (axis, path) in axes.iter().zip(paths) {
            row.push(axis.draw(&mut random).map_err(|e| format!("parameter \"{path}\": {e}"))?);
        }
        if known.insert(format!("{row:?}")) {
            rows.push(row);
        }
    }
    if rows.len() < trials {
        return Err(format!("[search] trials: found {trials}, but only {} different sets were found", rows.len()));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sweep: &str, base: &str) -> Result<Space, String> {
        Space::parse(sweep, Path::new("s.toml"), base, Path::new("base.toml")).map_err(|e| e.to_string())
    }

    fn rows(space: &Space) -> Vec<String> {
        space.sets.iter().map(|set| space.describe(&set.values)).collect()
    }

    const GRID: &str = "[parameters]\n\"risk.capital\" = { from = 100, to = 300, step = 100 }\n\
        \"market-maker.margin-bps\" = [\"0.5\", \"1\"]\n";

    #[test]
    fn a_grid_is_every_combination_and_reaches_the_configuration() {
        let space = parse(GRID, "[risk]\ncapital = \"7\"\nopen-orders-max = 3\n").unwrap();
        assert_eq!(
            rows(&space),
            [
                "market-maker.margin-bps = \"0.5\", risk.capital = \"100\"",
                "market-maker.margin-bps = \"0.5\", risk.capital = \"200\"",
                "market-maker.margin-bps = \"0.5\", risk.capital = \"300\"",
                "market-maker.margin-bps = \"1\", risk.capital = \"100\"",
                "market-maker.margin-bps = \"1\", risk.capital = \"200\"",
                "market-maker.margin-bps = \"1\", risk.capital = \"300\"",
            ]
        );
        let last = &space.sets[5].config;
        assert_eq!(last.risk.capital.0.to_string(), "300");
        assert_eq!(last.market_maker.margin_bps.to_string(), "1");
        assert_eq!(last.risk.open_orders_max, 3, "the base stays");
    }

    #[test]
    fn a_seed_gives_the_same_sets_and_they_differ() {
        let sweep = |seed: u64| {
            format!(
                "[parameters]\n\"risk.capital\" = {{ from = 1, to = 100, scale = \"log\" }}\n\
                 \"risk.leverage-e2\" = [100, 200]\n[search]\nmethod = \"random\"\ntrials = 20\nseed = {seed}\n"
            )
        };
        let [one, again, other] = [7, 7, 8].map(|seed| rows(&parse(&sweep(seed), "").unwrap()));
        assert_eq!(one, again);
        assert_ne!(one, other);
        let distinct: HashSet<&String> = one.iter().collect();
        assert_eq!(distinct.len(), 20);
    }

    #[test]
    fn whatever_is_wrong_is_said_before_anything_is_run() {
        for (sweep, wants) in [
            (
                "[parameters]\n\"risk.capitol\" = [1]\n",
                vec!["base.toml with risk.capitol = 1", "capitol", "expected one of"],
            ),
            ("[parameters]\n\"risk.capital\" = [\"1\", \"five\"]\n", vec!["risk.capital = \"five\"", "found `five`"]),
            ("[parameters]\n\"edge.tighten-from\" = { from = 1, to = 3, step = 1 }\n", vec!["found 1", "2 and more"]),
            ("[parameters]\n\"risk.capital\" = [\"1\", \"1.0\"]\n", vec!["two sets mean the same", "\"1.0\""]),
            ("[parameters]\n\"threads.idle\" = [\"spin\"]\n", vec!["threads.idle", "changes nothing"]),
            ("[parameters]\n", vec!["s.toml", "found none"]),
            ("[parametres]\n", vec!["s.toml", "line 1", "parametres"]),
            ("[parameters]\n\"risk.capital\" = { from = 1, to = 2 }\n", vec!["risk.capital", "needs step"]),
            (
                "[parameters]\n\"risk.capital\" = { from = 1, to = 200, step = 1 }\n\"pace.pause\" = { from = \"1s\", to = \"51s\", step = \"1s\" }\n",
                vec!["10200 sets", "allowed are 10000", "random"],
            ),
            (
                "[parameters]\n\"risk.capital\" = [1, 2]\n[search]\nmethod = \"random\"\ntrials = 3\n",
                vec!["only 2 different"],
            ),
            ("[parameters]\n\"risk.capital\" = [1, 2]\n[search]\nmethod = \"bayes\"\n", vec!["bayes", "grid"]),
            ("[parameters]\n\"risk.capital\" = [1]\n[walk-forward]\ntrain = 0\ntest = 1\n", vec!["train = 0"]),
        ] {
            let found = parse(sweep, "").unwrap_err();
            for want in wants {
                assert!(found.contains(want), "{sweep}: {found:?} should name {want:?}");
            }
        }
        let below_a_text = parse("[parameters]\n\"strategy.name.x\" = [1]\n", "[strategy]\nname = \"watch\"\n");
        assert!(below_a_text.unwrap_err().contains("`name` is no table"));
        assert!(parse(GRID, "[risk]\ncapitol = 1\n").unwrap_err().starts_with("base.toml"));
    }

    #[test]
    fn the_example_is_a_sweep() {
        let space = parse(include_str!("../../../examples/sweep.toml"), "").unwrap();
        assert_eq!((space.sets.len(), space.paths.len()), (30, 3));
        assert!(space.file.walk_forward.is_some());
    }

    #[test]
    fn keys_tell_what_changes_a_replay() {
        let [a, b, c] = ["", "[threads]\nidle = \"spin\"\n", "[risk]\nopen-orders-max = 9\n"]
            .map(|text| Keys::default().of(&Config::parse(text, Path::new("x")).unwrap()).unwrap());
        assert_eq!(a, b, "threads decide nothing");
        assert_ne!(a, c);
    }
}
