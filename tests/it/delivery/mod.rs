//! What is sent to partners: calls to their endpoints, and their feed pushed to them.

mod dial;
