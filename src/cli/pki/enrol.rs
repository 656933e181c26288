//! `hanse pki enrol`: a one-time token, and the line with which the partner uses it.

use super::Told;
use crate::cli::Error;
use crate::cli::house::Reach;
use crate::config::{Config, Flags};
use crate::domain::ids::Slug;
use crate::http::instant;
use crate::service::issuing;
use crate::store::{self, catalogue};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The partner's slug
    #[arg(value_parser = crate::cli::slug)]
    partner: Slug,
    /// Where the partner reaches the plain listener; this configuration's address unless said
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    pub flags: Flags,
}

pub fn enrol(args: &Args, config: &Config) -> Result<Told, Error> {
    let reach = Reach::unpublished(config)?;
    let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
    let (token, ends) = issuing::invite(&mut conn, &args.partner).map_err(Error::failed)?;
    let url = args.url.clone().unwrap_or_else(|| format!("http://{}", config.public_listen));
    let url = format!("{}/v1/enrolments", url.trim_end_matches('/'));
    let partner = &args.partner;
    let key = format!(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={partner} -keyout {partner}.key -out {partner}.csr"
    );
    // The token goes by standard input: an argument is there for everybody on the machine to read.
    let ask = format!(
        "printf '{{\"token\":\"%s\",\"csr\":\"%s\"}}' {token} \"$(awk '{{printf \"%s\\\\n\", $0}}' {partner}.csr)\" | \
         curl -sS --fail-with-body -H 'Content-Type: application/json' --data-binary @- {url}"
    );
    let ends = instant(ends);
    let mut line = format!(
        "good once, until {ends}; the partner makes its key and asks:\n\n{key}\n{ask}\n\nof the answer, `certificate` is its certificate and `ca` what it trusts"
    );
    let published = catalogue::exists(&mut conn).map_err(Error::failed)?
        && catalogue::load(&mut conn).map_err(Error::failed)?.partners.contains_key(partner);
    if !published {
        line.push_str("\nno partner of this name is published yet");
    }
    let told =
        json!({ "partner": partner.as_str(), "token": token, "expires_at": ends, "url": url, "key": key, "ask": ask });
    Ok((line, told))
}
