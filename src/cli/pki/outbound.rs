//! `hanse pki outbound` and `hanse pki trust`: how the alliance calls partners' endpoints, and whom it believes there.

use super::{Told, read};
use crate::cli::Error;
use crate::cli::house::Reach;
use crate::config::{Config, Flags};
use crate::domain::ids::Slug;
use crate::http::instant;
use crate::service::outbound;
use crate::store::{self, catalogue};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The partner's slug
    #[arg(value_parser = crate::cli::slug)]
    partner: Slug,
    /// Print a certificate request for the partner's own authority to sign; the key stays in the folder
    #[arg(long)]
    csr: bool,
    /// Install what the partner's authority has answered (PEM, our certificate first); - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "csr")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct Trust {
    /// The partner's slug
    #[arg(value_parser = crate::cli::slug)]
    partner: Slug,
    /// The authorities (PEM); - reads standard input
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// Their revocation lists (PEM)
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    #[command(flatten)]
    pub flags: Flags,
}

pub fn outbound(args: &Args, config: &Config) -> Result<Told, Error> {
    let (pki, partner) = (config.pki_dir(), &args.partner);
    if args.csr {
        let csr = outbound::request(&pki, partner).map_err(Error::failed)?;
        return Ok((csr.trim_end().to_owned(), json!({ "partner": partner.as_str(), "csr": csr })));
    }
    if let Some(file) = &args.certificate {
        let ends = outbound::install(&pki, partner, read(file)?.as_bytes()).map_err(Error::failed)?;
        let line = format!("in force until {}; running servers take it up by themselves", ends.date_naive());
        return Ok((line, json!({ "partner": partner.as_str(), "not_after": instant(ends) })));
    }
    let files = outbound::files(&pki, partner).map_err(Error::failed)?;
    let line = format!(
        "{} until {}\nits endpoint is believed by {}{}",
        files.certificate.display(),
        files.not_after.date_naive(),
        files.ca.display(),
        slip(config, partner)
    );
    let told = json!({
        "partner": partner.as_str(), "certificate": files.certificate, "key": files.key, "ca": files.ca, "crl": files.crl,
        "not_after": instant(files.not_after), "fingerprint": files.fingerprint,
    });
    Ok((line, told))
}

pub fn trust(args: &Trust, config: &Config) -> Result<Told, Error> {
    let crl = args.crl.as_deref().map(read).transpose()?;
    let count = outbound::trust(
        &config.pki_dir(),
        &args.partner,
        read(&args.ca)?.as_bytes(),
        crl.as_ref().map(|crl| crl.as_bytes()),
    );
    let count = count.map_err(Error::failed)?;
    let (partner, slip) = (&args.partner, slip(config, &args.partner));
    let line = format!("the endpoint of {partner} is believed by {count} authorities of its own{slip}");
    Ok((line, json!({ "partner": args.partner.as_str(), "authorities": count })))
}

/// Said of a partner nobody knows; where there is no database to ask, nothing.
fn slip(config: &Config, partner: &Slug) -> &'static str {
    let known = || {
        let reach = Reach::open(config)?;
        let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
        Ok::<_, Error>(catalogue::load(&mut conn).map_err(Error::failed)?.partners.contains_key(partner))
    };
    match known() {
        Ok(false) => "\nno partner of this name is published: is it a slip of the pen?",
        Ok(true) | Err(_) => "",
    }
}
