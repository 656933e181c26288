//! Gauges of the alliance's business. Every server shows the same numbers: take the largest.

use super::Tick;
use crate::service::crossings::seen::BacklogAnswer;
use crate::service::exchange::Error;
use crate::service::watch::Watch;
use std::collections::{BTreeMap, BTreeSet};

/// What has been shown: what is gone is shown as nothing once more.
#[derive(Default)]
pub struct Gauges {
    states: BTreeSet<(String, &'static str)>,
    partners: BTreeSet<String>,
}

/// One look. When it fails, the database is what cannot be reached, and that is shown, too.
pub fn tick(watch: &mut Watch, gauges: &mut Gauges) -> Result<Tick, Error> {
    let look = watch.look();
    metrics::gauge!("hanse_database_ready").set(if look.is_ok() { 1 } else { 0 });
    let look = look?;
    gauges.show(&look.crossings);
    metrics::gauge!("hanse_feed_lag_seconds").set(whole(look.feed_lag_seconds));
    Ok(Tick::Idle)
}

impl Gauges {
    fn show(&mut self, backlog: &[BacklogAnswer]) {
        let mut states: BTreeMap<(String, &'static str), i64> =
            std::mem::take(&mut self.states).into_iter().map(|label| (label, 0)).collect();
        // In doubt, and seconds since the oldest.
        let mut partners: BTreeMap<String, (i64, i64)> =
            std::mem::take(&mut self.partners).into_iter().map(|label| (label, (0, 0))).collect();
        for row in backlog {
            states.insert((row.partner.clone(), row.state), row.crossings);
            let (in_doubt, oldest) = partners.entry(row.partner.clone()).or_default();
            (*in_doubt, *oldest) = (*in_doubt + row.in_doubt, (*oldest).max(row.oldest_seconds));
            self.states.insert((row.partner.clone(), row.state));
            self.partners.insert(row.partner.clone());
        }
        for ((partner, state), open) in states {
            metrics::gauge!("hanse_crossings_open", "partner" => partner, "state" => state).set(whole(open));
        }
        for (partner, (in_doubt, oldest)) in partners {
            metrics::gauge!("hanse_crossings_in_doubt", "partner" => partner.clone()).set(whole(in_doubt));
            metrics::gauge!("hanse_crossings_oldest_seconds", "partner" => partner).set(whole(oldest));
        }
    }
}

/// A count as a gauge takes it.
fn whole(count: i64) -> f64 {
    f64::from(u32::try_from(count.max(0)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    fn row(partner: &str, state: &'static str, crossings: i64, in_doubt: i64, oldest_seconds: i64) -> BacklogAnswer {
        BacklogAnswer { partner: partner.to_owned(), state, crossings, in_doubt, oldest_seconds }
    }

    #[test]
    fn a_database_that_is_away_is_shown() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let mut watch = Watch::new("postgresql://127.0.0.1:1/nowhere");
        metrics::with_local_recorder(&recorder, || assert!(tick(&mut watch, &mut Gauges::default()).is_err()));
        assert!(recorder.handle().render().contains("hanse_database_ready 0"));
    }

    #[test]
    fn what_is_gone_is_shown_as_nothing() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let shown = recorder.handle();
        let mut gauges = Gauges::default();
        metrics::with_local_recorder(&recorder, || {
            gauges.show(&[
                row("aa", "holding", 3, 0, 7),
                row("aa", "capturing", 2, 1, 90),
                row("bb", "voiding", 1, 1, 5),
            ]);
        });
        let text = shown.render();
        for line in [
            "hanse_crossings_open{partner=\"aa\",state=\"holding\"} 3",
            "hanse_crossings_in_doubt{partner=\"aa\"} 1",
            "hanse_crossings_oldest_seconds{partner=\"aa\"} 90",
            "hanse_crossings_in_doubt{partner=\"bb\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        metrics::with_local_recorder(&recorder, || gauges.show(&[row("aa", "holding", 1, 0, 8)]));
        let text = shown.render();
        for line in [
            "hanse_crossings_open{partner=\"aa\",state=\"holding\"} 1",
            "hanse_crossings_open{partner=\"aa\",state=\"capturing\"} 0",
            "hanse_crossings_open{partner=\"bb\",state=\"voiding\"} 0",
            "hanse_crossings_in_doubt{partner=\"aa\"} 0",
            "hanse_crossings_oldest_seconds{partner=\"bb\"} 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
