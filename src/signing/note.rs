//! Signed notes, the checkpoints of a log that they carry, and cosignatures: c2sp.org/signed-note, tlog-checkpoint and
//! tlog-cosignature, as far as Ed25519 goes.
//!
//! A note is a text, an empty line, and a line for each signature: `— <key name> <base64 of key id and signature>`. What
//! is read is what would be written, byte for byte. Signatures by keys that nobody asks about are ignored; all by the key
//! that is asked about must hold.

use super::jwk::PublicKey;
use super::jws::{self, SigningKey};
use super::merkle::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use std::fmt;

/// The longest note read, in bytes: room for 16 signatures of the largest kind that C2SP knows.
pub const LENGTH_MAX: usize = 128 * 1024;
/// Signatures in one note.
pub const SIGNATURES_MAX: usize = 100;

const DASH: &str = "— ";
const ID: usize = 4;

/// Why a note is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the note is longer than {LENGTH_MAX} bytes")]
    TooLong,
    #[error("the note is not lines of text, an empty line and lines of signatures")]
    Form,
    #[error("the note has no signature, or more than {SIGNATURES_MAX}")]
    Count,
    #[error("a key's name is empty, or has white space or a plus sign")]
    Name,
    #[error("the key does not sign this way")]
    Kind,
    #[error("the note has no signature by this key")]
    Unsigned,
    #[error("the signature is not the key's")]
    Signature,
    #[error("the key has signed already, with another signature")]
    Twice,
    #[error("the text is not the origin, size and root of a log")]
    Checkpoint,
    #[error("the checkpoint is of another log than the key's")]
    Origin,
    #[error("the time of a cosignature is none that can be written")]
    Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAVkey {
    #[error("is not <name>+<key id>+<base64 of the kind and key>, or its name has white space or a plus sign")]
    Form,
    #[error("is not an Ed25519 key of a log, 0x01, or of a cosigner, 0x04")]
    Kind,
    #[error("is a point that anybody can sign for")]
    Weak,
    #[error("has another key id than its name and key")]
    Id,
}

/// What a key says by signing a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// That the text is its own: type 0x01.
    Log,
    /// That it has seen the log of a checkpoint grow to there, and when: type 0x04.
    Cosigner,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Kind::Log => 0x01,
            Kind::Cosigner => 0x04,
        }
    }
}

/// A public key with the name that stands before its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vkey {
    name: String,
    kind: Kind,
    point: [u8; 32],
    id: [u8; ID],
}

impl Vkey {
    /// `Err(Kind)` for a key other than Ed25519.
    pub fn new(name: &str, kind: Kind, key: &PublicKey) -> Result<Vkey, NotAVkey> {
        match key {
            PublicKey::Ed25519(_) if !is_name(name) => Err(NotAVkey::Form),
            PublicKey::Ed25519(point) => {
                let named = [name.as_bytes(), b"\n", &[kind.byte()], point].concat();
                let mut id = [0; ID];
                id.copy_from_slice(&digest(&SHA256, &named).as_ref()[..ID]);
                Ok(Vkey { name: name.to_owned(), kind, point: *point, id })
            }
            PublicKey::P256 { .. } => Err(NotAVkey::Kind),
        }
    }

    /// Reads the text that `to_string` makes.
    pub fn parse(text: &str) -> Result<Vkey, NotAVkey> {
        // The last part is base64, which has plus signs too; a name has none.
        let mut parts = text.splitn(3, '+');
        let mut part = || parts.next().ok_or(NotAVkey::Form);
        let (name, id, key) = (part()?, part()?, part()?);
        let key = STANDARD.decode(key).map_err(|_| NotAVkey::Form)?;
        let (byte, point) = key.split_first().ok_or(NotAVkey::Kind)?;
        let kind = [Kind::Log, Kind::Cosigner].into_iter().find(|kind| kind.byte() == *byte);
        let point = point.try_into().map_err(|_| NotAVkey::Kind)?;
        let key = PublicKey::ed25519(point).map_err(|_| NotAVkey::Weak)?;
        let vkey = Vkey::new(name, kind.ok_or(NotAVkey::Kind)?, &key)?;
        if vkey.id_text() == id { Ok(vkey) } else { Err(NotAVkey::Id) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What tells its signatures from those of other keys of this name.
    pub fn id(&self) -> [u8; ID] {
        self.id
    }

    fn id_text(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }

    fn check(&self, message: &[u8], signature: &[u8]) -> Result<(), Refused> {
        let key = PublicKey::Ed25519(self.point);
        jws::check(&key, key.kind().alg(), message, signature).map_err(|_| Refused::Signature)
    }
}

/// `<name>+<key id>+<base64 of the kind and key>`, as C2SP has a verifier key.
impl fmt::Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode([&[self.kind.byte()], self.point.as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, self.id_text())
    }
}

/// A text and its signatures; whether they hold is for `verify` and its like to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    name: String,
    id: [u8; ID],
    bytes: Vec<u8>,
}

impl Note {
    /// `text`, which ends its last line, signed by an Ed25519 key under `name`.
    pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<Note, Refused> {
        if !text.ends_with('\n') || !is_text(text) {
            return Err(Refused::Form);
        }
        let vkey = signer(name, Kind::Log, key)?;
        let signature = Signature { name: vkey.name, id: vkey.id, bytes: key.sign_bytes(text.as_bytes()) };
        Ok(Note { text: text.to_owned(), signatures: vec![signature] })
    }

    /// Reads a note; see the head of this file for its form.
    pub fn parse(bytes: &[u8]) -> Result<Note, Refused> {
        if bytes.len() > LENGTH_MAX {
            return Err(Refused::TooLong);
        }
        let whole = std::str::from_utf8(bytes).ok().filter(|whole| is_text(whole)).ok_or(Refused::Form)?;
        // The text may have empty lines; the last one of all ends it.
        let end = whole.rfind("\n\n").ok_or(Refused::Form)? + 1;
        let (text, lines) = (&whole[..end], &whole[end + 1..]);
        if lines.is_empty() || lines.lines().count() > SIGNATURES_MAX {
            return Err(Refused::Count);
        }
        let lines = lines.strip_suffix('\n').ok_or(Refused::Form)?;
        let signatures = lines.split('\n').map(Signature::parse).collect::<Result<_, _>>()?;
        Ok(Note { text: text.to_owned(), signatures })
    }

    /// What is signed, its last line ended.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names and key ids of those that sign, or claim to, in the note's sequence.
    pub fn signers(&self) -> impl Iterator<Item = (&str, [u8; ID])> {
        self.signatures.iter().map(|signature| (signature.name.as_str(), signature.id))
    }

    /// Whether `log` has signed the text: `Err(Kind)` for the key of a cosigner.
    pub fn verify(&self, log: &Vkey) -> Result<(), Refused> {
        let of_log = self.by(log, Kind::Log)?;
        of_log.iter().try_for_each(|signature| log.check(self.text.as_bytes(), &signature.bytes))
    }

    /// The checkpoint that `log` has signed. The key's name is the log's origin.
    pub fn checkpoint(&self, log: &Vkey) -> Result<Checkpoint, Refused> {
        self.verify(log)?;
        let checkpoint = Checkpoint::parse(&self.text)?;
        if checkpoint.origin == log.name { Ok(checkpoint) } else { Err(Refused::Origin) }
    }

    /// When `cosigner` has cosigned this checkpoint, by its own clock, in whole seconds.
    pub fn verify_cosignature(&self, cosigner: &Vkey) -> Result<DateTime<Utc>, Refused> {
        let mut latest = None;
        for signature in self.by(cosigner, Kind::Cosigner)? {
            latest = latest.max(Some(self.check_cosignature(signature, cosigner)?));
        }
        latest.ok_or(Refused::Unsigned)
    }

    /// Cosigns this checkpoint with an Ed25519 key under `name`, as of `at`.
    pub fn cosign(&mut self, name: &str, key: &SigningKey, at: DateTime<Utc>) -> Result<(), Refused> {
        Checkpoint::parse(&self.text)?;
        let vkey = signer(name, Kind::Cosigner, key)?;
        let seconds = u64::try_from(at.timestamp()).map_err(|_| Refused::Time)?;
        let signature = key.sign_bytes(&self.cosigned(seconds));
        let bytes = [seconds.to_be_bytes().as_slice(), &signature].concat();
        self.push(Signature { name: vkey.name, id: vkey.id, bytes })
    }

    /// Adds a cosignature that came as a line, when it holds; when it was made. A line that is there already stays.
    pub fn add_cosignature(&mut self, line: &str, cosigner: &Vkey) -> Result<DateTime<Utc>, Refused> {
        let signature = Signature::parse(line.strip_suffix('\n').unwrap_or(line))?;
        let asked = cosigner.kind == Kind::Cosigner && signature.is_by(cosigner);
        asked.then_some(()).ok_or(Refused::Unsigned)?;
        let at = self.check_cosignature(&signature, cosigner)?;
        self.push(signature)?;
        Ok(at)
    }

    fn push(&mut self, signature: Signature) -> Result<(), Refused> {
        let same = |other: &&Signature| other.name == signature.name && other.id == signature.id;
        match self.signatures.iter().find(same) {
            Some(other) if *other == signature => Ok(()),
            Some(_) => Err(Refused::Twice),
            None if self.signatures.len() == SIGNATURES_MAX => Err(Refused::Count),
            None => {
                self.signatures.push(signature);
                Ok(())
            }
        }
    }

    /// The signatures by `key`, at least one.
    fn by(&self, key: &Vkey, kind: Kind) -> Result<Vec<&Signature>, Refused> {
        if key.kind != kind {
            return Err(Refused::Kind);
        }
        let by: Vec<&Signature> = self.signatures.iter().filter(|signature| signature.is_by(key)).collect();
        if by.is_empty() { Err(Refused::Unsigned) } else { Ok(by) }
    }

    fn check_cosignature(&self, signature: &Signature, cosigner: &Vkey) -> Result<DateTime<Utc>, Refused> {
        Checkpoint::parse(&self.text)?;
        let (seconds, bytes) = signature.bytes.split_first_chunk().ok_or(Refused::Signature)?;
        let seconds = u64::from_be_bytes(*seconds);
        cosigner.check(&self.cosigned(seconds), bytes)?;
        let at = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        at.ok_or(Refused::Time)
    }

    /// What a cosigner signs.
    fn cosigned(&self, seconds: u64) -> Vec<u8> {
        format!("cosignature/v1\ntime {seconds}\n{}", self.text).into_bytes()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Signature { name, id, bytes } in &self.signatures {
            writeln!(f, "{DASH}{name} {}", STANDARD.encode([id.as_slice(), bytes].concat()))?;
        }
        Ok(())
    }
}

impl Signature {
    fn parse(line: &str) -> Result<Signature, Refused> {
        let (name, signature) = line.strip_prefix(DASH).and_then(|line| line.split_once(' ')).ok_or(Refused::Form)?;
        if !is_name(name) {
            return Err(Refused::Name);
        }
        // The engine takes canonical texts only: all padding, no spare bits, no white space.
        let bytes = STANDARD.decode(signature).map_err(|_| Refused::Form)?;
        let (id, bytes) = bytes.split_first_chunk().filter(|(_, bytes)| !bytes.is_empty()).ok_or(Refused::Form)?;
        Ok(Signature { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }

    fn is_by(&self, key: &Vkey) -> bool {
        self.name == key.name && self.id == key.id
    }
}

/// The state of a log: the root over its first `size` leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log it is; the name of its key.
    pub origin: String,
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    /// Reads the text of a note. Lines after the third, which C2SP discourages, are refused.
    pub fn parse(text: &str) -> Result<Checkpoint, Refused> {
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or(Refused::Checkpoint)?.split('\n').collect();
        let [origin, size, root] = lines.as_slice() else { return Err(Refused::Checkpoint) };
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(Refused::Checkpoint)?;
        let size = size.parse().map_err(|_| Refused::Checkpoint)?;
        let checkpoint = Checkpoint { origin: (*origin).to_owned(), size, root };
        // No plus sign, no leading zero.
        if !origin.is_empty() && checkpoint.to_string() == text { Ok(checkpoint) } else { Err(Refused::Checkpoint) }
    }

    /// A note of this checkpoint by the log's Ed25519 key, under the log's origin.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, Refused> {
        Note::sign(&self.to_string(), &self.origin, key)
    }
}

/// The text of its note.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))
    }
}

fn signer(name: &str, kind: Kind, key: &SigningKey) -> Result<Vkey, Refused> {
    Vkey::new(name, kind, key.public()).map_err(|why| match why {
        NotAVkey::Form => Refused::Name,
        NotAVkey::Kind | NotAVkey::Weak | NotAVkey::Id => Refused::Kind,
    })
}

/// Control characters but the end of a line have no place in a note.
fn is_text(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' || byte == b'\n')
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '+' || c < ' ' || c.is_whitespace())
}

#[cfg(test)]
mod tests;
