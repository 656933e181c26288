//! What goes wrong around the book: lines cut, processes killed, disks full, two servers at once. Whatever was answered
//! is there, whatever was not is answered when asked again, and every key has one effect.

mod commits;
mod disk;
mod fence;
mod killed;
mod lanes;
mod plans;
pub mod proxy;
mod remembered;
pub mod served;
mod twice;
