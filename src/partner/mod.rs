//! What partners bring: their manifests.

pub mod manifest;
