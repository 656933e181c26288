//! `hanse staff`: who may sign in to the pages, and setting them up.

use super::house::Reach;
use super::partners::table;
use super::{Error, Global};
use crate::config::{Config, Flags};
use crate::domain::ids::Slug;
use crate::domain::staff::{Login, Password, Role};
use crate::http::instant;
use crate::service::staff::log::Actor;
use crate::service::staff::people::{self, Enrolled, New};
use crate::service::staff::{self, Person};
use crate::signing::sealing::SealingKey;
use crate::store;
use console::Term;
use diesel::PgConnection;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Read};

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Add somebody; prints the link that sets up their authenticator app, once
    Add(Add),
    /// Everybody, in which role, and when they last signed in
    List {
        /// Only this partner's
        #[arg(long, value_name = "SLUG", value_parser = super::slug)]
        partner: Option<Slug>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Give somebody a new password and a new link, end their sessions and unlock them
    Reset {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        password: Typed,
        #[command(flatten)]
        flags: Flags,
    },
    /// Put somebody in another role; ends their sessions
    Role {
        #[command(flatten)]
        who: Who,
        /// viewer, clerk, finance, engineer or admin
        #[arg(value_parser = role)]
        role: Role,
        #[command(flatten)]
        flags: Flags,
    },
    /// Remove somebody; ends their sessions
    Remove {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        flags: Flags,
    },
}

#[derive(Debug, clap::Args)]
pub struct Add {
    #[command(flatten)]
    who: Who,
    /// Whose staff it is: a partner's …
    #[arg(long, value_name = "SLUG", value_parser = super::slug, required_unless_present = "operator", conflicts_with = "operator")]
    partner: Option<Slug>,
    /// … or the operator's
    #[arg(long)]
    operator: bool,
    /// viewer, clerk (at a partner's till), finance, engineer or admin
    #[arg(long, value_parser = role)]
    role: Role,
    #[command(flatten)]
    password: Typed,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct Who {
    /// 3 to 64 of a-z, 0-9 and . _ - @; an operator's begins with a letter and has no @
    login: Login,
}

#[derive(Debug, clap::Args)]
pub struct Typed {
    /// Read the password from the first line of standard input, instead of asking for it
    #[arg(long)]
    password_stdin: bool,
}

fn role(text: &str) -> Result<Role, String> {
    let known = || Role::ALL.map(Role::text).join(", ");
    Role::parse(text).ok_or_else(|| format!("one of {}", known()))
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    match action {
        Action::Add(args) => {
            let config = global.begin(&args.flags)?;
            let password = args.password.read(&args.who.login)?;
            let (login, partner) = (args.who.login.clone(), args.partner.clone());
            let new = New { login, partner, role: args.role, password };
            let enrolled = with(&config, |conn| people::add(conn, &sealing(&config)?, &Actor::COMMAND_LINE, &new))?;
            tell(&enrolled, global);
            Ok(())
        }
        Action::List { partner, flags } => list(partner.as_ref(), &global.begin(flags)?, global),
        Action::Reset { who, password, flags } => {
            let config = global.begin(flags)?;
            let password = password.read(&who.login)?;
            let reset = |conn: &mut PgConnection| {
                people::reset(conn, &sealing(&config)?, &Actor::COMMAND_LINE, &who.login, &password)
            };
            tell(&with(&config, reset)?, global);
            Ok(())
        }
        Action::Role { who, role, flags } => {
            let change = |conn: &mut PgConnection| people::change_role(conn, &Actor::COMMAND_LINE, &who.login, *role);
            with(&global.begin(flags)?, change)?;
            done(&who.login, &format!("is {role} now"), &json!({ "role": role.text() }), global);
            Ok(())
        }
        Action::Remove { who, flags } => {
            with(&global.begin(flags)?, |conn| people::remove(conn, &Actor::COMMAND_LINE, &who.login))?;
            done(&who.login, "is removed", &json!({ "removed": true }), global);
            Ok(())
        }
    }
}

fn sealing(config: &Config) -> Result<SealingKey, staff::Error> {
    Ok(SealingKey::open(&config.keys_dir())?)
}

fn with<T>(config: &Config, work: impl FnOnce(&mut PgConnection) -> Result<T, staff::Error>) -> Result<T, Error> {
    let reach = Reach::open(config)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let done = work(&mut conn);
    // Let go of the database before a private one is stopped.
    drop(conn);
    done.map_err(Error::failed)
}

impl Typed {
    /// Asks twice on a terminal, where nothing is shown of it.
    fn read(&self, login: &Login) -> Result<Password, Error> {
        let unread = |cause| Error::Failed(format!("the password cannot be read: {cause}"));
        let text = if self.password_stdin {
            let mut line = String::new();
            // No longer than anything that is still a password.
            std::io::stdin().lock().take(4 * 1024).read_line(&mut line).map_err(unread)?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        } else {
            let term = Term::stderr();
            if !term.is_term() || !std::io::stdin().is_terminal() {
                return Err(Error::Usage("there is no terminal to ask on: give it with --password-stdin".to_owned()));
            }
            let ask = |what: &str| {
                term.write_str(what)?;
                term.read_secure_line()
            };
            let text = ask(&format!("password for {login}: ")).map_err(unread)?;
            if ask("once more: ").map_err(unread)? != text {
                return Err(Error::Usage("the two are not the same".to_owned()));
            }
            text
        };
        Password::choose(text, login).map_err(|why| Error::Usage(why.to_string()))
    }
}

fn tell(enrolled: &Enrolled, global: &Global) {
    let Enrolled { staff, login, uri } = enrolled;
    if global.json {
        let told = json!({ "staff_id": staff.to_string(), "login": login.as_str(), "otpauth_uri": uri.expose() });
        println!("{told}");
        return;
    }
    println!("{login} can sign in, with this in an authenticator app; it is shown once:");
    println!("{}", uri.expose());
}

fn done(login: &Login, line: &str, told: &Value, global: &Global) {
    if global.json {
        let mut told = told.clone();
        told["login"] = json!(login.as_str());
        println!("{told}");
    } else {
        println!("{login} {line}");
    }
}

fn list(partner: Option<&Slug>, config: &Config, global: &Global) -> Result<(), Error> {
    let found = with(config, |conn| people::list(conn, partner))?;
    if global.json {
        println!("{:#}", json!({ "staff": found.iter().map(to_json).collect::<Vec<_>>() }));
        return Ok(());
    }
    if found.is_empty() {
        println!("nobody yet: `hanse staff add` adds somebody");
        return Ok(());
    }
    let mut table = table(["login", "of", "role 角色", "signed in", "sessions", "locked until"]);
    for one in &found {
        table.add_row([
            one.login.to_string(),
            one.partner.as_ref().map_or("operator", Slug::as_str).to_owned(),
            one.role.to_string(),
            one.signed_in_at.map_or(if one.is_invited { "invited" } else { "never" }.to_owned(), instant),
            one.sessions.to_string(),
            one.locked_until.map(instant).unwrap_or_default(),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn to_json(one: &Person) -> Value {
    json!({
        "staff_id": one.staff.to_string(), "login": one.login.as_str(), "partner": one.partner.as_ref().map(Slug::as_str),
        "role": one.role.text(), "created_at": instant(one.created_at), "signed_in_at": one.signed_in_at.map(instant),
        "locked_until": one.locked_until.map(instant), "sessions": one.sessions, "is_invited": one.is_invited,
    })
}
