//! A partner's life: `joining → active → suspended → active`, and by its notice `leaving → left`.
//!
//! `joining`: it keeps its own accounts and has no certificate yet; a hosted one begins `active`. `suspended`: no new
//! business in either direction. `leaving`: nothing arrives any more, it sends until its date. `left` is final. Who is
//! suspended may leave too: it stays suspended until its date.

use super::catalogue::PartnerStatus;

/// What happens to a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Its first certificate is there.
    Activate,
    Suspend,
    /// The suspension is over; `leaving` when it has given notice meanwhile or before.
    Resume {
        leaving: bool,
    },
    /// Notice is given.
    Leave,
    /// The notice is over.
    Depart,
}

impl Step {
    pub fn code(self) -> &'static str {
        match self {
            Step::Activate => "activate",
            Step::Suspend => "suspend",
            Step::Resume { .. } => "resume",
            Step::Leave => "leave",
            Step::Depart => "depart",
        }
    }
}

impl PartnerStatus {
    pub const ALL: [PartnerStatus; 5] = [
        PartnerStatus::Joining,
        PartnerStatus::Active,
        PartnerStatus::Suspended,
        PartnerStatus::Leaving,
        PartnerStatus::Left,
    ];

    /// The status after `step`; a repeat of the step that led here changes nothing. `None`: the step is not for this status.
    pub fn on(self, step: Step) -> Option<PartnerStatus> {
        use PartnerStatus::{Active, Joining, Leaving, Left, Suspended};
        match (self, step) {
            (Joining | Active, Step::Activate) => Some(Active),
            (Active | Suspended | Leaving, Step::Suspend) => Some(Suspended),
            (Suspended | Active, Step::Resume { leaving: false }) => Some(Active),
            (Suspended | Leaving, Step::Resume { leaving: true }) => Some(Leaving),
            (Joining | Active | Leaving, Step::Leave) => Some(Leaving),
            (Suspended, Step::Leave) => Some(Suspended),
            (Leaving | Suspended | Left, Step::Depart) => Some(Left),
            (Suspended | Leaving | Left, Step::Activate)
            | (Joining | Left, Step::Suspend)
            | (Joining | Leaving | Left, Step::Resume { leaving: false })
            | (Joining | Active | Left, Step::Resume { leaving: true })
            | (Left, Step::Leave)
            | (Joining | Active, Step::Depart) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PartnerStatus::{Active, Joining, Leaving, Left, Suspended};

    #[test]
    fn a_step_leads_where_it_says_and_its_repeat_changes_nothing() {
        let steps = [
            Step::Activate,
            Step::Suspend,
            Step::Resume { leaving: false },
            Step::Resume { leaving: true },
            Step::Leave,
            Step::Depart,
        ];
        for status in PartnerStatus::ALL {
            for step in steps {
                if let Some(after) = status.on(step) {
                    assert_eq!(after.on(step), Some(after), "{status:?} {step:?}");
                }
                assert!(status != Left || status.on(step).is_none_or(|after| after == Left), "{step:?}");
            }
        }
        assert_eq!(Joining.on(Step::Activate), Some(Active));
        assert_eq!(Active.on(Step::Depart), None);
        assert_eq!(Joining.on(Step::Suspend), None);
    }

    #[test]
    fn who_is_suspended_and_leaves_sends_nothing_more_unless_the_suspension_ends() {
        let leaving = Suspended.on(Step::Leave).expect("it may");
        assert_eq!(leaving, Suspended);
        assert_eq!(leaving.on(Step::Resume { leaving: true }), Some(Leaving));
        assert_eq!(leaving.on(Step::Depart), Some(Left));
    }
}
