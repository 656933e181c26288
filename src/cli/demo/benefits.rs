//! What the brands of the demo alliance offer: `benefits.toml` beside its manifests, put by each giver and approved by whoever
//! else pays, each with its own certificate. What stands already stays as it is.

use super::client::{Client, Reply};
use super::prepare::OPERATOR;
use crate::cli::Error;
use crate::partner::manifest;
use crate::service::benefits::BenefitJson;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// The file, as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benefits {
    /// By the giver and the brand whose members it sees: from tiers of that brand to tiers of its own.
    #[serde(default)]
    pub tier_maps: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
    /// By the giver and its own code.
    #[serde(default)]
    pub benefits: BTreeMap<String, BTreeMap<String, BenefitJson>>,
}

/// Reads the file of a folder of manifests; a folder without one offers nothing.
pub fn read(folder: &Path) -> Result<Benefits, Error> {
    let path = folder.join(manifest::BENEFITS);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Benefits::default()),
        Err(cause) => return Err(Error::Failed(format!("{}: {cause}", path.display()))),
    };
    toml::from_str(&text).map_err(|cause| Error::Failed(format!("{}: {cause}", path.display())))
}

/// Has every giver put what it offers, and every payer approve it.
pub async fn put(api: &str, pki: &Path, file: &Benefits) -> Result<(), Error> {
    let open = |name: &str| Client::open(api, pki, name).map_err(Error::failed);
    for (giver, brands) in &file.tier_maps {
        let giver = open(giver)?;
        for (brand, tiers) in brands {
            let reply = giver.put(&format!("/v1/tier-maps/{brand}"), &json!({ "tiers": tiers })).await;
            taken(&reply.map_err(Error::failed)?, || format!("what {} sees in the tiers of {brand}", giver.name()))?;
        }
    }
    for (slug, benefits) in &file.benefits {
        let giver = open(slug)?;
        for (code, document) in benefits {
            let what = || format!("the benefit {code} of {slug}");
            let body = serde_json::to_value(document).map_err(Error::failed)?;
            let reply = giver.put(&format!("/v1/benefits/{code}"), &body).await.map_err(Error::failed)?;
            taken(&reply, what)?;
            for payer in waiting(&reply) {
                let payer = open(if payer == "operator" { OPERATOR } else { payer })?;
                let path = format!("/v1/benefits/{}/approvals", reply.text("/benefit_id").unwrap_or_default());
                let yes = json!({ "version": reply.at("/version") });
                taken(&payer.post(&path, &yes).await.map_err(Error::failed)?, what)?;
            }
        }
    }
    Ok(())
}

/// Who pays for a benefit and has not said yes to it.
fn waiting(reply: &Reply) -> Vec<&str> {
    let all = reply.at("/approvals").as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|one| one["approved"] == false).filter_map(|one| one["payer"].as_str()).collect()
}

fn taken(reply: &Reply, what: impl Fn() -> String) -> Result<(), Error> {
    if reply.is_done() {
        return Ok(());
    }
    Err(Error::Failed(format!("{} is not taken: {} {}", what(), reply.summary(), reply.at("/errors"))))
}
