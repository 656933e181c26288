//! What is printed: a table for people, or everything for machines.

use super::list::Proof;
use super::load::Measured;
use super::pgbench;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const UNKNOWN: &str = "–";

/// Our median over the best run of pgbench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Ratio {
    pub scenario: &'static str,
    pub median_per_second: u64,
    pub best_milli_tps: u64,
    pub ratio_hundredths: u64,
}

/// One ratio for each scenario that was run.
pub fn ratios(runs: &[Measured], others: &[pgbench::Figures]) -> Vec<Ratio> {
    let Some(best) = others.iter().map(|figures| figures.milli_tps).max().filter(|best| *best > 0) else {
        return Vec::new();
    };
    let mut by_scenario: BTreeMap<&str, Vec<&Measured>> = BTreeMap::new();
    runs.iter().for_each(|run| by_scenario.entry(run.scenario).or_default().push(run));
    let ratio = |runs: Vec<&Measured>| {
        let median = median(runs.iter().map(|run| run.per_second).collect());
        let ratio_hundredths = median * 100_000 / best;
        Ratio { scenario: runs[0].scenario, median_per_second: median, best_milli_tps: best, ratio_hundredths }
    };
    by_scenario.into_values().map(ratio).collect()
}

/// The middle one; of two, the lower.
fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or(0)
}

pub fn to_json(runs: &[Measured], others: &[pgbench::Figures]) -> Value {
    json!({ "runs": runs, "pgbench": others, "ratios": ratios(runs, others) })
}

/// All runs as one table, then what went otherwise than asked, then pgbench and the ratios.
pub fn to_text(runs: &[Measured], others: &[pgbench::Figures]) -> String {
    let mut parts = vec![table(runs).to_string()];
    parts.extend(runs.iter().filter_map(remarks));
    if !others.is_empty() {
        let told =
            others.iter().map(|run| format!("{} ({} ms)", decimal(run.milli_tps, 3, 1), decimal(run.latency_us, 3, 1)));
        parts.push(format!("pgbench, a second: {}", told.collect::<Vec<_>>().join(", ")));
    }
    for ratio in ratios(runs, others) {
        parts.push(format!(
            "{}: median {} a second over pgbench's best {}: ratio {}",
            ratio.scenario,
            ratio.median_per_second,
            decimal(ratio.best_milli_tps, 3, 1),
            decimal(ratio.ratio_hundredths, 2, 2)
        ));
    }
    parts.join("\n")
}

fn table(runs: &[Measured]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_header([
        "run",
        "clients",
        "a second",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "CPU s server",
        "database",
        "bench",
        "commits/s",
        "batch",
        "peak MiB",
    ]);
    for run in runs {
        let cost = &run.cost;
        let seconds = |ms: Option<u64>| ms.map_or(UNKNOWN.to_owned(), |ms| decimal(ms, 3, 1));
        let a_second =
            |count: Option<u64>| count.map_or(UNKNOWN.to_owned(), |count| (count * 1000 / run.elapsed_ms).to_string());
        table.add_row([
            run.scenario.to_owned(),
            run.clients.to_string(),
            run.per_second.to_string(),
            decimal(run.latency.p50_us, 3, 2),
            decimal(run.latency.p99_us, 3, 2),
            decimal(run.latency.p999_us, 3, 2),
            seconds(cost.server_cpu_ms),
            seconds(cost.database_cpu_ms),
            seconds(cost.generator_cpu_ms),
            a_second(cost.commits.or(cost.batches)),
            cost.batch_size_tenths.map_or(UNKNOWN.to_owned(), |tenths| decimal(tenths, 1, 1)),
            cost.server_peak_kib.map_or(UNKNOWN.to_owned(), |kib| (kib / 1024).to_string()),
        ]);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// What went otherwise than asked in one run; `None` when nothing did.
fn remarks(run: &Measured) -> Option<String> {
    let counts = |counts: &BTreeMap<String, u64>| {
        let told = counts.iter().map(|(code, count)| format!("{code} {count}"));
        told.collect::<Vec<_>>().join(", ")
    };
    let mut told = Vec::new();
    if !run.refused.is_empty() {
        told.push(format!("refused: {}", counts(&run.refused)));
    }
    if !run.put_off.is_empty() {
        told.push(format!("asked again after: {} (replayed {})", counts(&run.put_off), run.recovered));
    }
    if run.unanswered > 0 {
        told.push(format!("{} clients were given up unanswered", run.unanswered));
    }
    if run.wrong > 0 {
        told.push(format!("WRONG: {}, such as {}", run.wrong, run.wrong_shown.join("; ")));
    }
    if let (Some(closing), Some(closes)) = (&run.closing, &run.closes) {
        let longest = closes.took_ms.iter().max().copied().unwrap_or(0);
        told.push(format!(
            "{} windows closed of {} conversions, the longest in {longest} ms; meanwhile p50 {} ms, p99 {} ms, p99.9 {} ms: {} times the p99 otherwise",
            closes.took_ms.len(),
            closes.conversions.iter().sum::<i64>(),
            decimal(closing.p50_us, 3, 2),
            decimal(closing.p99_us, 3, 2),
            decimal(closing.p999_us, 3, 2),
            decimal(closing.p99_us * 100 / run.latency.p99_us.max(1), 2, 2),
        ));
        if !closes.wrong.is_empty() {
            told.push(format!("WRONG: the statements of windows {:?}: {}", closes.wrong, closes.differs.join("; ")));
        }
    }
    if run.interrupted {
        told.push("interrupted".to_owned());
    }
    (!told.is_empty()).then(|| format!("{}: {}", run.scenario, told.join(" · ")))
}

/// What a list was found to be.
pub fn proof(proof: &Proof) -> String {
    let torn = if proof.torn { "; the last line is torn and not counted" } else { "" };
    if proof.holds() {
        return format!("all {} answered conversions are in the database, each once{torn}", proof.listed);
    }
    let Proof { listed, missing, mismatched, twice, sample, .. } = proof;
    format!(
        "of {listed} answered conversions {missing} are missing, {mismatched} are of another key, {twice} keys have more than one{torn}: {}",
        sample.join("; ")
    )
}

/// A number of which the last `places` digits are a fraction, cut to `shown` of them.
fn decimal(number: u64, places: u32, shown: u32) -> String {
    let unit = 10_u64.pow(places);
    let cut = 10_u64.pow(places - shown);
    let width = usize::try_from(shown).unwrap_or(0);
    format!("{}.{:0width$}", number / unit, number % unit / cut)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::probe::Cost;
    use super::super::tally::Latency;
    use super::*;

    pub fn run(scenario: &'static str, per_second: u64) -> Measured {
        Measured {
            scenario,
            clients: 256,
            elapsed_ms: 30_000,
            effects: per_second * 30,
            per_second,
            latency: Latency { p50_us: 25_060, p99_us: 61_999, p999_us: 99_000, max_us: 120_000 },
            closing: None,
            closes: None,
            cost: Cost { server_cpu_ms: Some(12_340), ..Cost::default() },
            late_effects: 0,
            refused: BTreeMap::new(),
            put_off: BTreeMap::new(),
            recovered: 0,
            unanswered: 0,
            wrong: 0,
            wrong_shown: Vec::new(),
            interrupted: false,
        }
    }

    #[test]
    fn the_ratio_is_our_median_over_its_best() {
        let runs = [run("pairs", 9_000), run("hot-pair", 6_000), run("hot-pair", 8_000), run("hot-pair", 1_000)];
        let figures = |milli_tps| pgbench::Figures { milli_tps, latency_us: 5_000 };
        let others = [figures(2_900_500), figures(3_000_000), figures(2_000_000)];
        let ratios = ratios(&runs, &others);
        let told: Vec<_> =
            ratios.iter().map(|ratio| (ratio.scenario, ratio.median_per_second, ratio.ratio_hundredths)).collect();
        assert_eq!(told, [("hot-pair", 6_000, 200), ("pairs", 9_000, 300)]);
        assert!(super::ratios(&runs, &[]).is_empty());
        assert!(
            to_text(&runs, &others).contains("hot-pair: median 6000 a second over pgbench's best 3000.0: ratio 2.00")
        );
    }

    #[test]
    fn figures_are_cut_not_rounded_up() {
        let told = [decimal(61_999, 3, 2), decimal(5, 3, 2), decimal(375, 1, 1), decimal(1_050, 3, 1)];
        assert_eq!(told, ["61.99", "0.00", "37.5", "1.0"]);
        assert_eq!((median(vec![3, 1, 2]), median(vec![4, 1]), median(Vec::new())), (2, 1, 0));
    }

    #[test]
    fn the_table_tells_what_is_known_and_the_remarks_what_went_wrong() {
        let mut faulty = run("pairs", 9_000);
        faulty.put_off.insert("connection".to_owned(), 3);
        faulty.wrong = 1;
        faulty.wrong_shown.push("cnv_1 is pending".to_owned());
        let text = to_text(&[run("hot-pair", 6_000), faulty], &[]);
        for wanted in
            ["25.06", "61.99", "12.3", UNKNOWN, "asked again after: connection 3", "WRONG: 1, such as cnv_1 is pending"]
        {
            assert!(text.contains(wanted), "{wanted} in\n{text}");
        }
        assert!(!text.contains("hot-pair:"), "{text}");
    }

    #[test]
    fn a_proof_says_what_is_missing() {
        let mut found = Proof { listed: 7, ..Proof::default() };
        assert!(proof(&found).starts_with("all 7 answered conversions are in the database"));
        found.missing = 2;
        assert!(proof(&found).starts_with("of 7 answered conversions 2 are missing"));
    }
}
