//! Notes of other implementations, and that nothing in a note can be changed.

use super::*;
use crate::signing::jwk;
use crate::signing::jws::SigningKey;

/// The example of C2SP signed-note.
const EXAMPLE: &str = "This is an example message.\n\n\
    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
const EXAMPLE_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

/// The checkpoint of C2SP tlog-checkpoint, signed by the seeds of 32 sevens and eights with Python's `cryptography`.
const CHECKPOINT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
const LOG: &str = "example.com/behind-the-sofa+252b74d2+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
const BY_LOG: &str = "— example.com/behind-the-sofa \
    JSt00p6KTYtH8opAMF2NJ7glHT4uHMzg9iBNNDYLQta3PzLlhUjMPmDAXA2L1DXjWfKrvjQJdIEVj9Tiu9f35PqL5g8=\n";
const WITNESS: &str = "witness.example.com/w1+9582033c+BBOY9ixtGkV8UbpqS189vS9p/KkyFiGNyJl+QWvRfZPK";
const BY_WITNESS: &str = "— witness.example.com/w1 \
    lYIDPAAAAABkGFDL3zfNz0s4H1tr7Roq5F6IqfkQ0k3PY4CJLE5G4rmDqn7FHt52UoeOd5YRq5ihPFwQPId93UDmDJlfrte+Eg4yCw==\n";
const WITNESSED_AT: i64 = 1_679_315_147;

fn seeded(seed: u8) -> SigningKey {
    // RFC 8410 §7: an Ed25519 key in PKCS#8 is this head and the seed.
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    SigningKey::from_pkcs8(&[head.as_slice(), &[seed; 32]].concat()).expect("a key")
}

fn vkey(text: &str) -> Vkey {
    Vkey::parse(text).expect("a key")
}

fn note(text: &str) -> Note {
    Note::parse(text.as_bytes()).expect("a note")
}

fn checkpoint() -> Checkpoint {
    Checkpoint::parse(CHECKPOINT).expect("a checkpoint")
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("an instant")
}

#[test]
fn the_example_of_c2sp_holds_under_its_key() {
    let key = vkey(EXAMPLE_KEY);
    assert_eq!((key.name(), key.kind(), key.to_string().as_str()), ("example.com/foo", Kind::Log, EXAMPLE_KEY));
    let note = note(EXAMPLE);
    assert_eq!(note.to_string(), EXAMPLE);
    assert_eq!(note.verify(&key), Ok(()));
    assert_eq!(note.checkpoint(&key), Err(Refused::Checkpoint));
    assert_eq!(note.verify(&vkey(LOG)), Err(Refused::Unsigned));
}

/// The example in the documentation of Go's `sumdb/note`, whose private key is known: the bytes must be the same.
#[test]
fn a_note_is_signed_as_go_signs_it() {
    let private = STANDARD.decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz").expect("base64");
    let head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let key = SigningKey::from_pkcs8(&[head.as_slice(), &private[1..]].concat()).expect("a key");
    let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    let note = Note::sign(text, "PeterNeumann", &key).expect("signed");
    let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
    assert_eq!(note.to_string(), format!("{text}\n— PeterNeumann {signature}\n"));
    let vkey = vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    assert_eq!(Vkey::new("PeterNeumann", Kind::Log, key.public()), Ok(vkey.clone()));
    assert_eq!(note.verify(&vkey), Ok(()));
}

/// A checkpoint of a public log of certificates, with signatures of kinds not known here beside the two that are.
#[test]
fn a_checkpoint_of_a_public_log_and_its_witness_holds() {
    let note = note(
        "arche2025h1.staging.ct.transparency.dev\n1432088532\nU7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n\n\
         — arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkpt\
         QIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n\
         — arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8\
         Ei59RA23oHP7Ry1k3ZFWwQ=\n\
         — remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB\
         0DrAWfBw==\n",
    );
    let log = vkey("arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f");
    let witness = vkey("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2");
    assert_eq!(note.checkpoint(&log).map(|checkpoint| checkpoint.size), Ok(1_432_088_532));
    assert_eq!(note.verify_cosignature(&witness), Ok(at(0x6a12_2120)));
    // Neither key speaks for the other's kind.
    assert_eq!(note.verify(&witness), Err(Refused::Kind));
    assert_eq!(note.verify_cosignature(&log), Err(Refused::Kind));
}

#[test]
fn a_checkpoint_is_signed_and_cosigned_as_others_do_it() {
    let mut note = checkpoint().sign(&seeded(7)).expect("signed");
    note.cosign("witness.example.com/w1", &seeded(8), at(WITNESSED_AT)).expect("cosigned");
    assert_eq!(note.to_string(), format!("{CHECKPOINT}\n{BY_LOG}{BY_WITNESS}"));
    assert_eq!(note.checkpoint(&vkey(LOG)), Ok(checkpoint()));
    assert_eq!(note.verify_cosignature(&vkey(WITNESS)), Ok(at(WITNESSED_AT)));
    assert_eq!(Vkey::new("witness.example.com/w1", Kind::Cosigner, seeded(8).public()), Ok(vkey(WITNESS)));
}

#[test]
fn nothing_in_a_note_can_be_changed() {
    let whole = format!("{CHECKPOINT}\n{BY_LOG}{BY_WITNESS}");
    let (log, witness) = (vkey(LOG), vkey(WITNESS));
    let holds = |bytes: &[u8]| {
        let note = Note::parse(bytes)?;
        Ok::<_, Refused>((note.checkpoint(&log)?, note.verify_cosignature(&witness)?))
    };
    assert!(holds(whole.as_bytes()).is_ok());
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            assert!(holds(&bytes).is_err(), "bit {bit} of byte {at}");
        }
        let mut less = whole.clone().into_bytes();
        let byte = less.remove(at);
        assert!(holds(&less).is_err(), "without byte {at}");
        let mut more = whole.clone().into_bytes();
        more.insert(at, byte);
        assert!(holds(&more).is_err(), "byte {at} twice");
        assert!(holds(&whole.as_bytes()[..at]).is_err(), "{at} bytes");
    }
}

#[test]
fn what_is_not_a_note_is_refused() {
    let line = BY_LOG;
    let parse = |text: &str| Note::parse(text.as_bytes()).map(|note| note.to_string());
    // The text may have empty lines, and what looks like a signature.
    for good in [format!("a\n\nb\n\n{line}"), format!("\n\n{line}"), format!("a\n\n{line}\n{line}")] {
        assert_eq!(parse(&good), Ok(good));
    }
    for (bad, why) in [
        (String::new(), Refused::Form),
        ("a\n".to_owned(), Refused::Form),
        (format!("a\n{line}"), Refused::Form),
        ("a\n\n".to_owned(), Refused::Count),
        (format!("a\n\n{}", line.trim_end()), Refused::Form),
        (format!("a\n\n{line}b\n"), Refused::Form),
        (format!("a\r\n\n{line}"), Refused::Form),
        (format!("a\tb\n\n{line}"), Refused::Form),
        (format!("a\n\n{}", line.replacen('—', "-", 1)), Refused::Form),
        // 68 bytes leave two spare bits in their last character: only zero bits are canonical.
        (format!("a\n\n{}", line.replacen("8=", "9=", 1)), Refused::Form),
        ("a\n\n— key\n".to_owned(), Refused::Form),
        ("a\n\n— key JSt00g==\n".to_owned(), Refused::Form),
        ("a\n\n— key JSt0\n".to_owned(), Refused::Form),
        ("a\n\n—  JSt00p4=\n".to_owned(), Refused::Name),
        ("a\n\n— k+y JSt00p4=\n".to_owned(), Refused::Name),
        ("a\n\n— k\u{a0}y JSt00p4=\n".to_owned(), Refused::Name),
        (format!("a\n\n{}", line.repeat(SIGNATURES_MAX + 1)), Refused::Count),
        (format!("{}\n\n{line}", "a".repeat(LENGTH_MAX)), Refused::TooLong),
    ] {
        assert_eq!(parse(&bad), Err(why), "{bad}");
    }
    assert_eq!(Note::parse(b"a\xff\n\n"), Err(Refused::Form));
    // C2SP wants 16 signatures to be read.
    assert!(parse(&format!("a\n\n{}", line.repeat(16))).is_ok());
    for (text, name, why) in [
        ("a", "k", Refused::Form),
        ("a\r\n", "k", Refused::Form),
        ("a\n", "", Refused::Name),
        ("a\n", "k k", Refused::Name),
    ] {
        assert_eq!(Note::sign(text, name, &seeded(7)), Err(why), "{text}{name}");
    }
    let p256 = SigningKey::generate_kind(jwk::Kind::P256).expect("a key");
    let p256 = SigningKey::from_pkcs8(&p256).expect("a key");
    assert_eq!(Note::sign("a\n", "k", &p256), Err(Refused::Kind));
}

#[test]
fn what_is_not_a_checkpoint_is_refused() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let empty = format!("a b\n0\n{root}\n");
    assert_eq!(Checkpoint::parse(&empty).map(|checkpoint| checkpoint.to_string()), Ok(empty));
    for bad in [
        format!("a\n01\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n-1\n{root}\n"),
        format!("a\n\n{root}\n"),
        format!("\n1\n{root}\n"),
        format!("a\n18446744073709551616\n{root}\n"),
        format!("a\n1\n{root}"),
        format!("a\n1\n{root}\nmore\n"),
        "a\n1\nAAAA\n".to_owned(),
        "a\n1\n".to_owned(),
    ] {
        assert_eq!(Checkpoint::parse(&bad), Err(Refused::Checkpoint), "{bad}");
    }
    // A log speaks for itself alone, and only checkpoints are cosigned.
    let mut other = Note::sign(CHECKPOINT, "example.com/other", &seeded(7)).expect("signed");
    let key = Vkey::new("example.com/other", Kind::Log, seeded(7).public()).expect("a key");
    assert_eq!((other.verify(&key), other.checkpoint(&key)), (Ok(()), Err(Refused::Origin)));
    assert_eq!(other.cosign("w", &seeded(8), at(-1)), Err(Refused::Time));
    let mut message = note(EXAMPLE);
    assert_eq!(message.cosign("w", &seeded(8), at(0)), Err(Refused::Checkpoint));
}

#[test]
fn a_cosignature_that_came_as_a_line_is_added_once_and_only_when_it_holds() {
    let mut note = checkpoint().sign(&seeded(7)).expect("signed");
    let witness = vkey(WITNESS);
    for _ in 0..2 {
        assert_eq!(note.add_cosignature(BY_WITNESS, &witness), Ok(at(WITNESSED_AT)));
        assert_eq!(note.to_string(), format!("{CHECKPOINT}\n{BY_LOG}{BY_WITNESS}"));
    }
    let mut again = checkpoint().sign(&seeded(7)).expect("signed");
    again.cosign("witness.example.com/w1", &seeded(8), at(WITNESSED_AT + 1)).expect("cosigned");
    assert_eq!(again.add_cosignature(BY_WITNESS, &witness), Err(Refused::Twice));
    let mut moved = Checkpoint { size: 20_852_164, ..checkpoint() }.sign(&seeded(7)).expect("signed");
    for (line, why) in [
        (BY_WITNESS, Refused::Signature),
        (BY_LOG, Refused::Unsigned),
        ("", Refused::Form),
        ("— witness.example.com/w1 lYIDPAA=", Refused::Signature),
    ] {
        assert_eq!(moved.add_cosignature(line, &witness), Err(why), "{line}");
    }
    assert_eq!(note.add_cosignature(BY_LOG, &vkey(LOG)), Err(Refused::Unsigned));
    // As many keys as there may be signatures.
    for index in 0..SIGNATURES_MAX - 1 {
        moved.cosign(&format!("w{index}"), &seeded(8), at(0)).expect("cosigned");
    }
    assert_eq!(moved.cosign("last", &seeded(8), at(0)), Err(Refused::Count));
    assert_eq!(Note::parse(moved.to_string().as_bytes()), Ok(moved));
}

#[test]
fn a_key_is_read_in_the_one_form_it_is_written() {
    for good in [EXAMPLE_KEY, LOG, WITNESS] {
        assert_eq!(vkey(good).to_string(), good);
        for at in 0..good.len() {
            let mut bytes = good.as_bytes().to_vec();
            bytes[at] ^= 1;
            let flipped = String::from_utf8(bytes).expect("ASCII");
            assert!(Vkey::parse(&flipped).is_err(), "{flipped}");
            assert!(Vkey::parse(&good[..at]).is_err() && Vkey::parse(&good[at + 1..]).is_err(), "{good} at {at}");
        }
    }
    let weak = STANDARD.encode([[1].as_slice(), &[0; 32]].concat());
    for (bad, why) in [
        (EXAMPLE_KEY.replacen("530d903a", "530D903A", 1), NotAVkey::Id),
        (EXAMPLE_KEY.replacen("530d903a", "00000000", 1), NotAVkey::Id),
        (EXAMPLE_KEY.replacen("/foo", "/ foo", 1), NotAVkey::Form),
        (format!("{EXAMPLE_KEY}="), NotAVkey::Form),
        ("example.com/foo+530d903a".to_owned(), NotAVkey::Form),
        // A type not known here, and a key that is too short.
        ("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".to_owned(), NotAVkey::Kind),
        ("rekor.sigstore.dev+12345678+AwEB".to_owned(), NotAVkey::Kind),
        (format!("a+00000000+{weak}"), NotAVkey::Weak),
    ] {
        assert_eq!(Vkey::parse(&bad), Err(why), "{bad}");
    }
}

proptest::proptest! {
    #[test]
    fn what_is_read_is_what_would_be_written(text in "[a\n— k=A]{0,40}\n\n— k (JSt00p4=|[A-P=]{0,8})\n") {
        if let Ok(note) = Note::parse(text.as_bytes()) {
            proptest::prop_assert_eq!(note.to_string(), text);
        }
    }
}
