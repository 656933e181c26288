//! Tells cargo that a new migration folder is a reason to build again: the macro that embeds them only
//! makes it watch the files it already knows.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=src/build.rs");
}
