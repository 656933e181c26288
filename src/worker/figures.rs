//! Counts what was sealed, and shows which key figures are out of their bounds. Any number of servers may run it; one at a
//! time counts, all show the same.

use super::Tick;
use crate::clock;
use crate::service::figures::{Counting, Crossed, Error};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// After figures were held against their bounds they rest for so long, and a hundred times what it took.
const REST: Duration = Duration::from_secs(10);
const REST_TIMES: u32 = 100;

/// What has been shown: what is within its bounds again is shown as nothing once more.
#[derive(Default)]
pub struct Gauges {
    crossed: BTreeSet<Crossed>,
    due: Option<Instant>,
}

/// One bounded run, after which it rests, however much is left; figures are judged whenever that is due: while members go on
/// there is always something left to count.
pub fn tick(counting: &mut Counting, gauges: &mut Gauges) -> Result<Tick, Error> {
    counting.count()?;
    let begun = clock::instant();
    if gauges.due.is_none_or(|due| begun >= due) {
        gauges.show(counting.crossed()?);
        gauges.due = Some(clock::instant() + REST.max(begun.elapsed() * REST_TIMES));
    }
    Ok(Tick::Idle)
}

impl Gauges {
    fn show(&mut self, crossed: Vec<Crossed>) {
        let crossed = BTreeSet::from_iter(crossed);
        for (partner, kpi) in self.crossed.union(&crossed) {
            let is_crossed = crossed.contains(&(partner.clone(), *kpi));
            let gauge =
                metrics::gauge!("hanse_kpi_out_of_bounds", "partner" => partner.to_string(), "kpi" => kpi.code());
            gauge.set(if is_crossed { 1 } else { 0 });
        }
        self.crossed = crossed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::kpi::Kpi;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn what_is_within_its_bounds_again_is_shown_as_nothing() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let shown = recorder.handle();
        let mut gauges = Gauges::default();
        let partner = "aa".parse().expect("a slug");
        metrics::with_local_recorder(&recorder, || gauges.show(vec![(partner, Kpi::Completion)]));
        let line = "hanse_kpi_out_of_bounds{partner=\"aa\",kpi=\"completion\"}";
        assert!(shown.render().contains(&format!("{line} 1")), "{}", shown.render());
        metrics::with_local_recorder(&recorder, || gauges.show(Vec::new()));
        assert!(shown.render().contains(&format!("{line} 0")), "{}", shown.render());
    }
}
