//! Passwords as they are kept: Argon2id, as a PHC string that says its own parameters.

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::{SecureRandom, SystemRandom};

/// The least that OWASP's Password Storage Cheat Sheet asks of Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("the system has no randomness")]
    Randomness,
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::password_hash::Error),
}

/// A hash of the password under a salt of its own. Takes some tens of milliseconds and 19 MiB, on purpose.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    let mut salt = [0; SALT];
    SystemRandom::new().fill(&mut salt).map_err(|_| PasswordError::Randomness)?;
    let salt = SaltString::encode_b64(&salt).map_err(PasswordError::Hash)?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|cause| PasswordError::Hash(cause.into()))?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon.hash_password(password.as_bytes(), &salt).map_err(PasswordError::Hash)?.to_string())
}

/// Whether it is the password of this hash; takes as long either way. What is no hash is nobody's.
pub fn verify(password: &str, hashed: &str) -> bool {
    // The parameters are the hash's own, so that old ones go on when the constants rise.
    PasswordHash::new(hashed).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_says_how_it_was_made_and_is_of_one_password() {
        let hashed = hash("a long enough one").expect("hashed");
        assert!(hashed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hashed}");
        assert!(verify("a long enough one", &hashed));
        assert!(!verify("a long enough onE", &hashed));
        assert_ne!(hash("a long enough one").expect("hashed"), hashed, "each has its own salt");
        assert!(!verify("", "") && !verify("x", "$argon2id$v=19$m=1"));
    }

    /// Of the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1`.
    #[test]
    fn the_reference_implementations_hash_is_known() {
        let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(verify("password", reference));
        assert!(!verify("Password", reference));
    }
}
