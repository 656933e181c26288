//! Bodies too large to hold: one that comes in is handed on piece by piece to a reader that blocks, one that goes out is
//! made piece by piece as the caller takes it.

use super::problem::{Code, Problem};
use actix_web::body::{BodySize, BodyStream, MessageBody};
use actix_web::http::header::HeaderMap;
use actix_web::http::header::{self};
use actix_web::web::{self, Bytes};
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces on their way, some 32 KiB each.
const PIECES: usize = 8;

/// How much of a large body is taken, and how slowly it may come.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    pub bytes_max: u64,
    /// For the next piece.
    pub patience: Duration,
    /// For all of it.
    pub patience_in_all: Duration,
    /// Once the server has waited for longer than `patience` in all: a body that trickles keeps others from their turn.
    pub bytes_per_second_min: u64,
}

impl StreamLimits {
    /// Whether a caller that has let the server wait so long has sent too little.
    fn is_too_slow(&self, waited: Duration, taken: u64) -> bool {
        taken < waited.saturating_sub(self.patience).as_secs().saturating_mul(self.bytes_per_second_min)
    }
}

/// A body on its way in, for a reader on a thread of its own.
pub struct Incoming {
    pieces: Receiver<Bytes>,
    piece: Bytes,
    ended: bool,
    ends: Receiver<()>,
}

/// Where `Incoming` gets its pieces from.
pub struct Feed {
    pieces: Sender<Bytes>,
    /// Sent to when the body came whole: a body that merely stops must not be taken for a short one.
    whole: Sender<()>,
}

pub fn incoming() -> (Feed, Incoming) {
    let ((pieces, taken), (whole, ends)) = (channel(PIECES), channel(1));
    (Feed { pieces, whole }, Incoming { pieces: taken, piece: Bytes::new(), ended: false, ends })
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None if self.ends.blocking_recv().is_some() => self.ended = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

impl Feed {
    /// Hands a body on until it ends; returns early, without a problem, when its reader wants no more.
    pub async fn pour(self, payload: web::Payload, limits: StreamLimits) -> Result<(), Problem> {
        let late = |_| Problem::new(Code::RequestTimeout);
        tokio::time::timeout(limits.patience_in_all, self.pour_all(payload, limits)).await.map_err(late)?
    }

    async fn pour_all(self, payload: web::Payload, limits: StreamLimits) -> Result<(), Problem> {
        let mut body = Box::pin(BodyStream::new(payload));
        let (mut taken, mut waited) = (0_u64, Duration::ZERO);
        loop {
            let asked = Instant::now();
            let next = std::future::poll_fn(|context| body.as_mut().poll_next(context));
            let next = tokio::time::timeout(limits.patience, next).await;
            let piece = match next.map_err(|_| Problem::new(Code::RequestTimeout))? {
                None => break,
                Some(Err(_)) => return Err(Problem::new(Code::Malformed).detail("The body ended too early.")),
                Some(Ok(piece)) => piece,
            };
            taken = taken.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            waited += asked.elapsed();
            if taken > limits.bytes_max {
                return Err(too_large(limits.bytes_max));
            }
            if limits.is_too_slow(waited, taken) {
                return Err(Problem::new(Code::RequestTimeout));
            }
            if self.pieces.send(piece).await.is_err() {
                return Ok(());
            }
        }
        // There is room for one; a reader that is gone needs no word.
        let _ = self.whole.try_send(());
        Ok(())
    }
}

fn too_large(bytes_max: u64) -> Problem {
    Problem::new(Code::TooLarge).detail(format!("At most {bytes_max} bytes."))
}

/// Refuses by its head a body that is too large, or encoded.
pub fn check_head(headers: &HeaderMap, bytes_max: u64) -> Result<(), Problem> {
    let told = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if told.is_some_and(|told: u64| told > bytes_max) {
        return Err(too_large(bytes_max));
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(Code::UnsupportedMediaType).detail("Bodies are read as sent, without encoding."));
    }
    Ok(())
}

/// A body on its way out. One that ends without its last piece ends the connection, so that the caller notices.
pub struct Outgoing(Receiver<Result<Bytes, Problem>>);

/// Whoever makes the pieces waits while the caller takes none.
pub fn outgoing() -> (Sender<Result<Bytes, Problem>>, Outgoing) {
    let (pieces, taken) = channel(2);
    (pieces, Outgoing(taken))
}

impl MessageBody for Outgoing {
    type Error = Problem;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Problem>>> {
        self.0.poll_recv(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_trickles_is_too_slow_once_it_has_been_waited_for() {
        let (patience, patience_in_all) = (Duration::from_secs(30), Duration::from_secs(600));
        let limits = StreamLimits { bytes_max: 1 << 30, patience, patience_in_all, bytes_per_second_min: 1_000 };
        let slow = |seconds, taken| limits.is_too_slow(Duration::from_secs(seconds), taken);
        assert!(!slow(30, 1) && !slow(130, 100_000));
        assert!(slow(31, 1) && slow(130, 99_999));
    }

    #[test]
    fn a_body_that_stops_is_not_a_short_one() {
        for whole in [true, false] {
            let (feed, mut body) = incoming();
            for piece in [&b"ab"[..], b"", b"cde"] {
                feed.pieces.try_send(Bytes::from_static(piece)).expect("room");
            }
            if whole {
                feed.whole.try_send(()).expect("room");
            }
            drop(feed);
            let mut text = String::new();
            let read = body.read_to_string(&mut text);
            assert_eq!((read.is_ok(), text.as_str()), (whole, "abcde"));
        }
    }
}
