//! Vouchers and reservations whose time is over, found and ended in bounded chunks, on whichever server comes first.

use crate::book::Handle;
use crate::book::command::{Command, ExpireVoucher, Undecided};
use crate::domain::ids::Slug;
use crate::service::exchange::keyless;
use crate::store::{self, catalogue, vouchers};
use diesel::PgConnection;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Vouchers ended in one go.
const CHUNK: i64 = 500;

pub struct VoucherRun {
    url: String,
    book: Handle,
    conn: Option<PgConnection>,
    runtime: Runtime,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("what is over cannot be looked for: {0}")]
    Store(#[from] store::Error),
    #[error("what is over cannot be looked for: {0}")]
    Query(#[from] diesel::result::Error),
    #[error("a voucher could not be ended: {0}")]
    Post(#[from] Undecided),
}

impl VoucherRun {
    pub fn new(url: &str, book: Handle) -> std::io::Result<VoucherRun> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(VoucherRun { url: url.to_owned(), book, conn: None, runtime })
    }

    /// Ends one chunk of what is over; returns how many were looked at.
    pub fn end(&mut self) -> Result<usize, Error> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => store::establish(&self.url)?,
        };
        let at = catalogue::business_now(&mut conn)?;
        let zone = self.book.catalogue().alliance.zone;
        let found = vouchers::over(&mut conn, at, at.with_timezone(&zone).date_naive(), CHUNK)?;
        self.conn = Some(conn);
        // Nobody asks for it but time itself: the book looks at whose voucher it is.
        let Some(anybody) = self.book.catalogue().partners.keys().next().cloned() else { return Ok(0) };
        let count = found.len();
        let request = |voucher| {
            let by: &Slug = &anybody;
            keyless(by, Uuid::now_v7(), Uuid::now_v7(), Command::ExpireVoucher(ExpireVoucher { voucher }))
        };
        let answers = self.runtime.block_on(self.book.submit_all(found.into_iter().map(request).collect()));
        for answer in answers {
            answer?;
        }
        Ok(count)
    }
}
