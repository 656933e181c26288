//! Whom and what an endpoint turns away.

use super::calls::{Caller, Reply, Signed};
use super::checks::hold_of;
use super::{Args, Board, read};
use crate::cli::Error;
use hyper::{Method, Uri};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);
/// More than any call has.
const LARGE: usize = 4 << 20;
/// Further from now than any clock is.
const LONG_AGO: i64 = -600;

/// A greeting of TLS 1.2: record, handshake, version, 32 bytes of no secret, no session, five cipher suites, and what
/// curves and signatures the caller knows. It has no `supported_versions`, so it can only be answered as TLS 1.2.
const HELLO_OF_1_2: [u8; 82] = [
    0x16, 0x03, 0x01, 0x00, 0x4d, 0x01, 0x00, 0x00, 0x49, 0x03, 0x03, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0x00, 0x00, 0x0a, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30,
    0x00, 0xff, 0x01, 0x00, 0x00, 0x16, 0x00, 0x0a, 0x00, 0x06, 0x00, 0x04, 0x00, 0x1d, 0x00, 0x17, 0x00, 0x0d, 0x00,
    0x08, 0x00, 0x06, 0x04, 0x03, 0x08, 0x04, 0x04, 0x01,
];

pub async fn connection(caller: &Caller, args: &Args, board: &mut Board) -> Result<(), Error> {
    const OF: &str = "connection";
    let reached = caller.get(&format!("/memberships/{}", args.member)).await;
    board.put(OF, "TLS 1.3 with the alliance's certificate", "an answer", reached.told(), reached.status != 0);
    let (got, refused) = greet_as_1_2(&args.url).await?;
    board.put(OF, "TLS 1.2", "no connection", got, refused);
    let (got, refused) = without_certificate(args).await?;
    board.put(OF, "no client certificate", "no answer", got, refused);
    Ok(())
}

async fn greet_as_1_2(url: &str) -> Result<(String, bool), Error> {
    let uri: Uri = url.parse().map_err(Error::failed)?;
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443));
    let greeting = async {
        let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        stream.write_all(&HELLO_OF_1_2).await?;
        let mut answer = [0; 6];
        let read = stream.read_exact(&mut answer).await;
        Ok::<_, std::io::Error>(read.map(|_| answer))
    };
    Ok(match tokio::time::timeout(PATIENCE, greeting).await {
        Err(_) => ("nothing, and the connection stays".to_owned(), false),
        Ok(Err(why)) => (why.to_string(), false),
        // A server's hello is a handshake (22) of type 2; a refusal an alert (21), or the end.
        Ok(Ok(Ok([22, .., 2]))) => ("a server's hello".to_owned(), false),
        Ok(Ok(Ok([21, ..]))) => ("an alert".to_owned(), true),
        Ok(Ok(Ok(_))) => ("something that is not TLS".to_owned(), false),
        Ok(Ok(Err(_))) => ("the end".to_owned(), true),
    })
}

async fn without_certificate(args: &Args) -> Result<(String, bool), Error> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&read(&args.ca)?) {
        roots.add(root.map_err(Error::failed)?).map_err(Error::failed)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let tls = tls.map_err(Error::failed)?.with_root_certificates(roots).with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(PATIENCE);
    let client = client.redirect(reqwest::redirect::Policy::none()).build().map_err(Error::failed)?;
    let url = format!("{}/memberships/{}", args.url.trim_end_matches('/'), args.member);
    Ok(match client.get(url).send().await {
        Ok(answer) => (answer.status().to_string(), false),
        Err(why) if why.is_timeout() => ("nothing, and the connection stays".to_owned(), false),
        Err(_) => ("no answer".to_owned(), true),
    })
}

pub async fn signatures(caller: &Caller, args: &Args, board: &mut Board) {
    const OF: &str = "signature";
    let hold = hold_of(args, args.points);
    let cases = [
        ("over another body", Signed::Wrongly),
        ("ten minutes old", Signed::At(LONG_AGO)),
        ("ten minutes ahead", Signed::At(-LONG_AGO)),
        ("none", Signed::NotAtAll),
    ];
    for (what, signed) in cases {
        let reply = caller.call(Method::POST, "/holds", hold.to_string().into_bytes(), signed).await;
        board.put(OF, what, "4xx, not 422", reply.told(), reply.is_caller_fault() && reply.status != 422);
    }
    let found = caller.get(&format!("/holds/{}", hold["hold_id"].as_str().unwrap_or_default())).await;
    board.put(OF, "and nothing was held", "404", found.told(), found.status == 404);
}

pub async fn requests(caller: &Caller, args: &Args, board: &mut Board) {
    const OF: &str = "request";
    let malformed = caller.call(Method::POST, "/holds", b"{\"hold_id\":".to_vec(), Signed::Well).await;
    board.put(OF, "half a JSON", "4xx", malformed.told(), malformed.is_caller_fault());
    let (hold, other) = (hold_of(args, args.points), hold_of(args, args.points));
    let path = format!("/holds/{}/release", hold["hold_id"].as_str().unwrap_or_default());
    let step = serde_json::json!({ "hold_id": other["hold_id"], "conversion_id": other["conversion_id"] });
    let reply = caller.post(&path, &step).await;
    board.put(OF, "a path and a body of two ids", "4xx", reply.told(), reply.is_caller_fault());
    let large = caller.call(Method::POST, "/holds", vec![b' '; LARGE], Signed::Well).await;
    let turned_away = |reply: &Reply| reply.status == 0 || reply.is_caller_fault();
    board.put(OF, "a body of 4 MiB", "4xx, or cut", large.told(), turned_away(&large));
    let after = caller.get(&format!("/memberships/{}", args.member)).await;
    board.put(OF, "and it answers after that", "2xx", after.told(), after.is_done());
}
