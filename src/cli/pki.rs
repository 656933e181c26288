//! `hanse pki`: the alliance's certificate authority, and the register that servers ask about certificates.
//!
//! What is issued is made known to the database, and what is revoked is refused there first: that reaches every server
//! within two seconds, on open connections too; the list then keeps new ones from being made.
//! `enrol` invites a partner to ask for its own, `outbound` is about those with which the alliance calls partners.

mod enrol;
mod outbound;

use super::house::Reach;
use super::{Error, Global};
use crate::clock;
use crate::config::{Config, Flags};
use crate::domain::holder::Holder;
use crate::service::{certificates, issuing};
use crate::signing::pki::{Authority, Issued, List, PkiError};
use crate::store::{self, catalogue};
use serde_json::{Value, json};
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make an authority, its revocation list and a server certificate for localhost
    Init(Init),
    /// Issue a client certificate, or renew the server's or the one for calling partners
    Issue(Issue),
    /// Take client certificates back
    Revoke(Revoke),
    /// Make the revocation list anew from the register, for its full time
    Crl(Crl),
    /// Make a one-time token with which a partner asks for its first certificate by itself
    Enrol(enrol::Args),
    /// What the alliance shows when it calls a partner's endpoint: see it, or have the partner's own authority sign it
    Outbound(outbound::Args),
    /// Name the authorities that a partner's endpoint must have its certificate from
    Trust(outbound::Trust),
}

#[derive(Debug, clap::Args)]
pub struct Init {
    /// Authority of the names in certificates: spiffe://<trust domain>/partner/<slug>
    #[arg(long, value_name = "NAME")]
    trust_domain: String,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct Issue {
    /// A partner's slug, operator/<name>, server, or outbound
    holder: String,
    /// Certificate request (PEM, P-256) of a holder who keeps the key; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// Whose certificate in the folder: a partner's slug, or operator/<name>
    #[arg(required_unless_present = "serial", conflicts_with = "serial")]
    holder: Option<String>,
    /// Every live one of this holder, wherever it is kept
    #[arg(long, requires = "holder")]
    all: bool,
    /// Serial number, hexadecimal, of any certificate of this authority
    #[arg(long, value_name = "HEX")]
    serial: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct Crl {
    #[command(flatten)]
    flags: Flags,
}

pub fn run(action: &Action, global: &Global) -> Result<(), Error> {
    let (lines, told) = match action {
        Action::Init(args) => init(args, &global.begin(&args.flags)?)?,
        Action::Issue(args) => issue(args, &global.begin(&args.flags)?)?,
        Action::Revoke(args) => revoke(args, &global.begin(&args.flags)?)?,
        Action::Crl(args) => crl(&global.begin(&args.flags)?)?,
        Action::Enrol(args) => enrol::enrol(args, &global.begin(&args.flags)?)?,
        Action::Outbound(args) => outbound::outbound(args, &global.begin(&args.flags)?)?,
        Action::Trust(args) => outbound::trust(args, &global.begin(&args.flags)?)?,
    };
    if global.json {
        println!("{told}");
    } else {
        println!("{lines}");
    }
    Ok(())
}

/// What is told to people and to machines.
type Told = (String, Value);

fn init(args: &Init, config: &Config) -> Result<Told, Error> {
    let folder = config.pki_dir();
    Authority::init(&folder, &args.trust_domain, clock::now()).map_err(Error::failed)?;
    let line = format!("the authority of {} is in {}", args.trust_domain, folder.display());
    Ok((line, json!({ "folder": folder, "trust_domain": args.trust_domain })))
}

fn issue(args: &Issue, config: &Config) -> Result<Told, Error> {
    let authority = Authority::open(&config.pki_dir()).map_err(Error::failed)?;
    if args.holder == "server" {
        authority.issue_server(clock::now()).map_err(Error::failed)?;
        let line = "server.crt and server.key are new; a running server takes them up by itself";
        return Ok((line.to_owned(), json!({ "server": "issued" })));
    }
    if args.holder == "outbound" {
        authority.issue_outbound(clock::now()).map_err(Error::failed)?;
        let line = "outbound.crt and outbound.key are new; running servers take them up by themselves";
        return Ok((line.to_owned(), json!({ "outbound": "issued" })));
    }
    let holder = holder(&args.holder)?;
    let issued = match &args.csr {
        None => authority.issue(&holder, clock::now()),
        Some(file) => authority.issue_for_request(&holder, &read(file)?, clock::now()),
    };
    let issued = issued.map_err(Error::failed)?;
    let reach = Reach::found(config)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    certificates::register(&mut conn, &issued.facts).map_err(Error::failed)?;
    let (mut line, told) = tell(&issued);
    if let Holder::Partner(slug) = &holder
        && catalogue::exists(&mut conn).map_err(Error::failed)?
        && !catalogue::load(&mut conn).map_err(Error::failed)?.partners.contains_key(slug)
    {
        line.push_str("\nno partner of this name is published yet: revoke it if that is a slip of the pen");
    }
    Ok((line, told))
}

fn tell(issued: &Issued) -> Told {
    let facts = &issued.facts;
    let place = issued.file.as_ref().map_or(issued.pem.trim_end().to_owned(), |file| file.display().to_string());
    let until = facts.not_after.date_naive();
    let line = format!("{place}\n{} until {until}, serial {}, registered", facts.holder, facts.serial);
    let told = json!({
        "holder": facts.holder.to_string(), "x5t": facts.x5t, "serial": facts.serial, "not_after": facts.not_after,
        "file": issued.file, "certificate": issued.pem,
    });
    (line, told)
}

fn revoke(args: &Revoke, config: &Config) -> Result<Told, Error> {
    let folder = config.pki_dir();
    let reach = Reach::unpublished(config)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    if let (Some(name), true) = (&args.holder, args.all) {
        let holder = holder(name)?;
        let count = issuing::revoke_all(&mut conn, &folder, &holder).map_err(Error::failed)?;
        let line = format!("{count} of {holder} revoked{}", list_note(&folder));
        return Ok((line, json!({ "holder": holder.to_string(), "revoked": count })));
    }
    let serial = match (&args.serial, &args.holder) {
        (Some(serial), _) => serial.to_ascii_lowercase(),
        (None, Some(name)) => {
            // One that was made for a request is with its holder.
            let hint = "--serial names a certificate that is not in the folder, --all takes every one";
            let holder = holder(name)?;
            let found = Authority::open(&folder).and_then(|authority| authority.facts(&holder));
            found.map_err(|cause| Error::Failed(format!("{cause}; {hint}")))?.serial
        }
        (None, None) => return Err(Error::Usage("name a holder, or --serial".to_owned())),
    };
    let known = certificates::revoke_serial(&mut conn, &serial).map_err(Error::failed)?;
    let new = match Authority::open(&folder) {
        Ok(authority) => authority.revoke(&serial, clock::now()).map_err(Error::failed)?,
        // A server that has the authority's key puts it on the list.
        Err(PkiError::Missing(_)) if known => true,
        Err(cause) => return Err(Error::failed(cause)),
    };
    let when = if new { "revoked" } else { "was revoked before" };
    let note = if known { "" } else { " (it was never registered)" };
    let line = format!("serial {serial} {when}{note}{}", list_note(&folder));
    Ok((line, json!({ "serial": serial, "new": new, "registered": known })))
}

fn crl(config: &Config) -> Result<Told, Error> {
    let folder = config.pki_dir();
    let authority = Authority::open(&folder).map_err(Error::failed)?;
    let reach = Reach::unpublished(config)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    issuing::make_list(&mut conn, &authority, clock::now()).map_err(Error::failed)?;
    let list = List::read(&folder).map_err(Error::failed)?;
    let (count, until) = (list.serials.len(), list.next_update.date_naive());
    let line = format!("{}: {count} revoked, good until {until}", folder.join("ca.crl").display());
    Ok((line, json!({ "revoked": count, "number": list.number, "next_update": list.next_update })))
}

/// Said where the list could not be written.
fn list_note(folder: &Path) -> &'static str {
    match Authority::open(folder) {
        Ok(_) => "",
        Err(_) => "; servers refuse it from now on, and a server with the authority's key puts it on the list",
    }
}

fn holder(text: &str) -> Result<Holder, Error> {
    let (kind, name) = text.split_once('/').unwrap_or(("partner", text));
    Holder::of(kind, name)
        .ok_or_else(|| Error::Usage(format!("{text:?} is neither a partner's slug nor operator/<name>")))
}

fn read(file: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(|_| text),
        _ => std::fs::read_to_string(file),
    };
    read.map_err(|cause| Error::Failed(format!("{}: {cause}", file.display())))
}
