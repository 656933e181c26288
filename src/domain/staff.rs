//! Staff: the people who sign in to pages, what their roles let them do, and how often they may try.

use super::holder::Holder;
use chrono::TimeDelta;
use std::fmt;
use std::str::FromStr;

/// What somebody is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Viewer,
    /// At the till.
    Clerk,
    Finance,
    Engineer,
    Admin,
}

impl Role {
    pub const ALL: [Role; 5] = [Role::Viewer, Role::Clerk, Role::Finance, Role::Engineer, Role::Admin];

    pub fn text(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Clerk => "clerk",
            Role::Finance => "finance",
            Role::Engineer => "engineer",
            Role::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.text() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What a page asks for before it shows or does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    SeeConversions,
    SeeRates,
    /// The alliance in figures.
    SeeFigures,
    SeeBenefits,
    SeeSettlement,
    SeeDeliveries,
    SeeAudit,
    RedeemVouchers,
    SignStatements,
    Dispute,
    Pay,
    ApproveRates,
    ManageBenefits,
    ManageCertificates,
    ResendDeliveries,
    /// The operator's alone, and by four eyes.
    ResolveInDoubt,
    /// The operator's alone, and by four eyes.
    DecideDisputes,
    ManageStaff,
    /// The operator's alone: ends the open window, has a blocked one tried again.
    CloseWindows,
}

/// Whose staff may do a thing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Anyone,
    Partner,
    Operator,
}

impl Permission {
    pub const ALL: [Permission; 19] = [
        Permission::SeeConversions,
        Permission::SeeRates,
        Permission::SeeFigures,
        Permission::SeeBenefits,
        Permission::SeeSettlement,
        Permission::SeeDeliveries,
        Permission::SeeAudit,
        Permission::RedeemVouchers,
        Permission::SignStatements,
        Permission::Dispute,
        Permission::Pay,
        Permission::ApproveRates,
        Permission::ManageBenefits,
        Permission::ManageCertificates,
        Permission::ResendDeliveries,
        Permission::ResolveInDoubt,
        Permission::DecideDisputes,
        Permission::ManageStaff,
        Permission::CloseWindows,
    ];

    /// Whether it only shows.
    pub fn reads(self) -> bool {
        self.rule().0
    }

    /// Whether it only shows, whose staff may, and in which roles. Who signs and pays is not who manages staff, and both
    /// are kept from the engineer.
    fn rule(self) -> (bool, Whose, &'static [Role]) {
        use Role::{Admin, Clerk, Engineer, Finance, Viewer};
        use Whose::{Anyone, Operator, Partner};
        match self {
            Permission::SeeConversions | Permission::SeeRates | Permission::SeeFigures => {
                (true, Anyone, &[Viewer, Finance, Engineer, Admin])
            }
            Permission::SeeBenefits => (true, Anyone, &[Viewer, Clerk, Finance, Engineer, Admin]),
            Permission::SeeSettlement => (true, Anyone, &[Finance, Admin]),
            Permission::SeeDeliveries => (true, Anyone, &[Engineer, Admin]),
            Permission::SeeAudit => (true, Anyone, &[Admin]),
            Permission::RedeemVouchers => (false, Partner, &[Clerk]),
            Permission::SignStatements | Permission::Dispute | Permission::Pay => (false, Anyone, &[Finance]),
            Permission::ApproveRates => (false, Anyone, &[Finance, Admin]),
            Permission::ManageBenefits | Permission::ManageStaff => (false, Anyone, &[Admin]),
            Permission::ManageCertificates | Permission::ResendDeliveries => (false, Anyone, &[Engineer, Admin]),
            Permission::ResolveInDoubt => (false, Operator, &[Engineer, Admin]),
            Permission::DecideDisputes => (false, Operator, &[Finance]),
            Permission::CloseWindows => (false, Operator, &[Finance, Admin]),
        }
    }
}

/// Whether somebody of `holder` in this role may.
pub fn may(holder: &Holder, role: Role, permission: Permission) -> bool {
    let (_, whose, roles) = permission.rule();
    let theirs = match (whose, holder) {
        (Whose::Anyone, _) | (Whose::Partner, Holder::Partner(_)) | (Whose::Operator, Holder::Operator(_)) => true,
        (Whose::Partner, Holder::Operator(_)) | (Whose::Operator, Holder::Partner(_)) => false,
    };
    theirs && roles.contains(&role)
}

/// What somebody signs in as: 3 to 64 characters of `a–z`, `0–9`, `.`, `_`, `-`, `@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Login(String);

/// A text that is no login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotALogin;

impl fmt::Display for NotALogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a login is 3 to 64 of a-z, 0-9 and . _ - @")
    }
}

impl std::error::Error for NotALogin {}

impl Login {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The operator's holder of this login, if it can be one: then it has no `@` and a letter first.
    pub fn operator(&self) -> Option<Holder> {
        Holder::of("operator", &self.0)
    }
}

impl FromStr for Login {
    type Err = NotALogin;
    fn from_str(text: &str) -> Result<Login, NotALogin> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".@_-".contains(&b);
        let fits = (3..=64).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(Login(text.to_owned())) } else { Err(NotALogin) }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is never shown by chance.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// For whoever is to have it, and nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not say where two texts of one length differ.
    pub fn matches(&self, other: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), other.as_bytes());
        own.len() == other.len() && own.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A password that may be chosen: see [`Password::choose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Secret);

/// Why a password may not be chosen. NIST SP 800-63B §5.1.1.2: length and what everybody guesses, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPassword {
    Short,
    Long,
    /// It is the login, or has it with little else.
    Login,
    /// Everybody tries it first.
    Common,
}

impl fmt::Display for NoPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoPassword::Short => "a password has at least 12 characters",
            NoPassword::Long => "a password has at most 128 characters",
            NoPassword::Login => "a password is not the login with little else",
            NoPassword::Common => "this password is among the first that are guessed",
        })
    }
}

impl std::error::Error for NoPassword {}

/// Characters of a password, any that there are.
const PASSWORD: std::ops::RangeInclusive<usize> = 12..=128;

/// The commonest of twelve characters or more, by their letters and digits in lower case; what repeats a short piece or
/// runs along a keyboard is found by rule.
const COMMON: [&str; 24] = [
    "password1234",
    "password12345",
    "password123456",
    "passwordpassword",
    "mypassword123",
    "administrator",
    "administrator1",
    "admin1234567",
    "adminadmin123",
    "welcome12345",
    "welcome123456",
    "letmeinletmein",
    "iloveyou1234",
    "iloveyouforever",
    "changemeplease",
    "changeme1234",
    "1qaz2wsx3edc",
    "1qaz2wsx3edc4rfv",
    "q1w2e3r4t5y6",
    "1q2w3e4r5t6y",
    "woaini1314520",
    "correcthorsebatterystaple",
    "hansehansehanse",
    "trustno1trustno1",
];

/// Runs that a finger makes.
const RUNS: [&str; 5] = [
    "01234567890123456789012345678901234567890",
    "98765432109876543210987654321098765432109",
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "qwertyuiopasdfghjklzxcvbnm1234567890",
    "qwertyuiop1234567890",
];

impl Password {
    /// A password for `login`: 12 to 128 characters, not the login with little else, and none of the commonest.
    pub fn choose(text: String, login: &Login) -> Result<Password, NoPassword> {
        let characters = text.chars().count();
        if characters < *PASSWORD.start() {
            return Err(NoPassword::Short);
        }
        if characters > *PASSWORD.end() {
            return Err(NoPassword::Long);
        }
        let plain = |text: &str| text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect::<String>();
        let (said, login) = (plain(&text), plain(login.as_str()));
        let around = said.replacen(&login, "", 1);
        if !login.is_empty() && around != said && around.chars().count() < 6 {
            return Err(NoPassword::Login);
        }
        let common = COMMON.contains(&said.as_str()) || RUNS.iter().any(|run| run.contains(&said)) || repeats(&said);
        if common { Err(NoPassword::Common) } else { Ok(Password(Secret(text))) }
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Whether a text is a piece of at most four characters, over and over.
fn repeats(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    (1..=4).any(|piece| (piece..characters.len()).all(|at| characters[at] == characters[at - piece]))
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Wrong tries in a row before somebody is locked out.
pub const FAILURES_MAX: u32 = 5;
const LOCK_MINUTES_MAX: i64 = 60;

/// For how long nobody may try after this many wrong tries in a row: a minute after the fifth, twice as long after each
/// that follows, an hour at most.
pub fn lock(failures: u32) -> Option<TimeDelta> {
    let further = failures.checked_sub(FAILURES_MAX)?;
    let minutes = if further < 6 { 1 << further } else { LOCK_MINUTES_MAX };
    Some(TimeDelta::minutes(minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders() -> [Holder; 2] {
        [Holder::of("partner", "lumen").expect("a slug"), Holder::of("operator", "ada").expect("a name")]
    }

    #[test]
    fn each_permission_is_somebodys_and_the_operators_own_are_nobody_elses() {
        let [partner, operator] = holders();
        for permission in Permission::ALL {
            let by = |holder: &Holder| Role::ALL.into_iter().filter(|role| may(holder, *role, permission)).count();
            assert!(by(&partner) + by(&operator) > 0, "{permission:?}");
        }
        for role in Role::ALL {
            assert!(!may(&partner, role, Permission::ResolveInDoubt), "{role}");
            assert!(!may(&partner, role, Permission::DecideDisputes), "{role}");
            assert!(!may(&partner, role, Permission::CloseWindows), "{role}");
            assert!(!may(&operator, role, Permission::RedeemVouchers), "{role}");
            assert_eq!(Role::parse(role.text()), Some(role));
        }
        assert_eq!(Role::parse("Admin"), None);
    }

    #[test]
    fn nobody_manages_staff_and_pays() {
        for holder in holders() {
            for role in Role::ALL {
                let both = [Permission::ManageStaff, Permission::Pay].map(|permission| may(&holder, role, permission));
                assert_ne!(both, [true; 2], "{role}");
            }
            let does = |permission: &Permission| !permission.reads() && may(&holder, Role::Viewer, *permission);
            assert!(!Permission::ALL.iter().any(does), "a viewer only looks");
        }
    }

    #[test]
    fn a_login_is_plain_and_an_operators_is_its_name() {
        for good in ["ada", "a.b_c-d@lumen.test", "007", &"a".repeat(64)] {
            assert!(good.parse::<Login>().is_ok(), "{good}");
        }
        for bad in ["", "ab", "Ada", "a b", "añe", "a\0b", "a/b", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Login>(), Err(NotALogin), "{bad}");
        }
        let login = |text: &str| text.parse::<Login>().expect("a login");
        assert_eq!(login("ada").operator(), Holder::of("operator", "ada"));
        assert_eq!(login("ada@hanse.test").operator(), None);
        assert_eq!(login("007").operator(), None);
    }

    #[test]
    fn a_password_is_long_and_not_what_everybody_guesses() {
        let login = "ada.lovelace".parse().expect("a login");
        let check = |text: &str, wanted: Option<NoPassword>| {
            assert_eq!(Password::choose(text.to_owned(), &login).err(), wanted, "{text}");
        };
        check("elf zeichen", Some(NoPassword::Short));
        check("zwoelf zeich", None);
        check("十二个字符的密码也可以用", None);
        check(&"ab3 ".repeat(32).replacen("ab3", "xyz", 1), None);
        check(&format!("{}x", "a1b2c3d4".repeat(16)), Some(NoPassword::Long));
        check("Ada.Lovelace", Some(NoPassword::Login));
        check("ada-lovelace-1!", Some(NoPassword::Login));
        check("ada.lovelace computes", None);
        for common in [
            "Password-1234",
            "correct horse battery staple",
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "123456789012",
            "qwertyuiopas",
        ] {
            check(common, Some(NoPassword::Common));
        }
        assert_eq!(format!("{:?}", Password::choose("zwoelf zeich".to_owned(), &login)), "Ok(Password(…))");
    }

    #[test]
    fn who_errs_five_times_waits_and_then_longer_each_time() {
        let minutes: Vec<_> = (0..14).map(|failures| lock(failures).map(|lock| lock.num_minutes())).collect();
        let wanted = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(Some);
        assert_eq!(minutes[..5], [None; 5]);
        assert_eq!(minutes[5..], wanted);
        assert_eq!(lock(u32::MAX).map(|lock| lock.num_minutes()), Some(60));
    }

    #[test]
    fn a_secret_is_compared_whole_and_never_shown() {
        let secret = Secret::from("a secret".to_owned());
        assert!(secret.matches("a secret"));
        for other in ["", "a secre", "a secrets", "b secret", "a secreT"] {
            assert!(!secret.matches(other), "{other}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
