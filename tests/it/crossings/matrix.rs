//! Each hop × each fault × whoever is killed: when it is over, every conversion is completed, or released where a ledger
//! has definitely refused; both ledgers and ours agree to the point.

use super::stage::{AA, BB, PATIENCE, Stage};
use crate::support::is_long;
use hanse::partner::sim::faults::Kind;
use std::time::Duration;

/// Who is killed while a fault is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    Nobody,
    Hanse,
    Partner,
    Both,
}

/// The calls on the way to a completed conversion, and who is asked.
const FORWARD: [(&str, usize); 3] = [("hold", AA), ("credit", BB), ("capture", AA)];
/// Those on the way back.
const BACK: [(&str, usize); 2] = [("void", BB), ("release", AA)];
const MEMBERS: usize = 4;

/// A fault's rule for the next two calls, its time short enough to wait for.
fn rule(call: &str, kind: &str) -> String {
    match kind {
        "down" => format!("{call}:down=x1@1"),
        "late_success" => format!("{call}:late_success=x2@0.5"),
        _ => format!("{call}:{kind}=x2"),
    }
}

/// A definite no where there is no way back is for a person.
fn is_for_a_person(call: &str, kind: Kind) -> bool {
    kind == Kind::Refuse && matches!(call, "capture" | "release")
}

struct Matrix {
    stage: Stage,
    asked: usize,
    lines: Vec<String>,
}

impl Matrix {
    fn new(name: &str, settings: &[&str]) -> Matrix {
        let mut all = vec!["--crossing-call-ms", "400"];
        all.extend(settings);
        Matrix { stage: Stage::new(name, MEMBERS, &all), asked: 0, lines: Vec::new() }
    }

    fn convert(&mut self) {
        self.asked += 1;
        let member = self.asked % MEMBERS + 1;
        let told = self.stage.convert(&format!("k-{}", self.asked), member, 20);
        assert_eq!(told["state"], "pending");
    }

    /// One cell: the fault is set, conversions begin, somebody dies and comes back, and all is well.
    fn cell(&mut self, (call, at): (&str, usize), (name, kind): (&str, Kind), killed: Killed) {
        let before = self.stage.all_over(PATIENCE);
        let mut rules = rule(call, name);
        // In every second cell nobody can look what became of it: the call itself has to be made again.
        if self.lines.len() % 2 == 1 {
            rules.push_str(",get_hold:500=x4,get_credit:500=x4");
        }
        self.stage.faults(at, &rules);
        (0..2).for_each(|_| self.convert());
        self.kill(at, killed);
        let after = self.stage.all_over(PATIENCE);
        let (done, released) = (after.0 - before.0, after.1 - before.1);
        let refused = kind == Kind::Refuse;
        assert_eq!(done + released, 2, "{call} {name} {killed:?}");
        assert!(released == 0 || refused, "{call} {name} {killed:?}: {released} released");
        self.lines
            .push(format!("{call:8} {name:16} {:8} {done} completed, {released} released", format!("{killed:?}")));
        self.stage.faults(at, "");
    }

    fn kill(&mut self, partner: usize, killed: Killed) {
        if killed != Killed::Nobody {
            std::thread::park_timeout(Duration::from_millis(60));
        }
        if matches!(killed, Killed::Partner | Killed::Both) {
            self.stage.kill_sim(partner);
        }
        if matches!(killed, Killed::Hanse | Killed::Both) {
            self.stage.kill(0);
            self.stage.start(0);
        }
        if matches!(killed, Killed::Partner | Killed::Both) {
            self.stage.start_sim(partner, MEMBERS);
        }
    }

    /// A credit that nobody answers is given up: the way back, with a fault at both of its calls.
    fn cell_back(&mut self, (name, kind): (&str, Kind), killed: Killed) {
        let before = self.stage.all_over(PATIENCE);
        let void = rule("void", name);
        self.stage.faults(BB, &format!("credit:500=1,get_credit:500=1,{void}"));
        if !is_for_a_person("release", kind) {
            self.stage.faults(AA, &rule("release", name));
        }
        self.convert();
        if killed != Killed::Nobody {
            // The credit's patience is a second: then it is voided and released.
            std::thread::park_timeout(Duration::from_millis(1_200));
        }
        self.kill(BB, killed);
        let after = self.stage.all_over(PATIENCE);
        assert_eq!((after.0 - before.0, after.1 - before.1), (0, 1), "void, release {name} {killed:?}");
        for (call, at) in BACK {
            self.lines.push(format!("{call:8} {name:16} {:8} 0 completed, 1 released", format!("{killed:?}")));
            self.stage.faults(at, "");
        }
    }

    fn end(self, what: &str) {
        self.stage.agree();
        self.stage.audit();
        println!("{what}: {} cells\n{}", self.lines.len(), self.lines.join("\n"));
    }
}

#[test]
fn on_the_way_forward_every_fault_ends_well_whoever_is_killed() {
    let mut matrix = Matrix::new("matrix-forward", &["--crossing-hold-s", "60", "--crossing-credit-s", "60"]);
    for hop in FORWARD {
        for (nth, (name, kind)) in Kind::all().enumerate() {
            if is_for_a_person(hop.0, kind) {
                continue;
            }
            matrix.cell(hop, (name, kind), Killed::Nobody);
            let all = [Killed::Hanse, Killed::Partner, Killed::Both];
            // In a normal run one of the three each, another for the next fault.
            let chosen = if is_long() { &all[..] } else { &all[nth % 3..=nth % 3] };
            for killed in chosen.iter().filter(|_| is_long() || nth % 4 == 0) {
                matrix.cell(hop, (name, kind), *killed);
            }
        }
    }
    matrix.end("forward");
}

#[test]
fn on_the_way_back_every_fault_ends_well_whoever_is_killed() {
    let mut matrix = Matrix::new("matrix-back", &["--crossing-hold-s", "60", "--crossing-credit-s", "1"]);
    for (nth, (name, kind)) in Kind::all().enumerate() {
        matrix.cell_back((name, kind), Killed::Nobody);
        let all = [Killed::Hanse, Killed::Partner, Killed::Both];
        let chosen = if is_long() { &all[..] } else { &all[nth % 3..=nth % 3] };
        for killed in chosen.iter().filter(|_| is_long() || nth % 6 == 0) {
            matrix.cell_back((name, kind), *killed);
        }
    }
    matrix.end("back");
}
