//! How brands themselves call the members of crossings, read for as many as ask at once.

use crate::domain::ids::AccountId;
use crate::service::exchange::Error;
use crate::store::{Database, crossings};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Memberships read with one query.
const TOGETHER_MAX: usize = 512;

/// By membership; the forgotten have none.
pub type Known = Arc<HashMap<AccountId, String>>;

type Asked = ([AccountId; 2], oneshot::Sender<Known>);

pub struct Names {
    reader: mpsc::Sender<Asked>,
}

impl Names {
    /// Call it within a runtime: they are read by a task of its own.
    pub fn start(database: Database) -> Names {
        let (reader, waiting) = mpsc::channel(2 * TOGETHER_MAX);
        tokio::spawn(read_all(database, waiting));
        Names { reader }
    }

    /// Those of two memberships, and perhaps of others.
    pub async fn of(&self, accounts: [AccountId; 2]) -> Result<Known, Error> {
        let (tell, told) = oneshot::channel();
        let unread = || Error::Broken("the references of a crossing's members could not be read");
        self.reader.send((accounts, tell)).await.map_err(|_| unread())?;
        told.await.map_err(|_| unread())
    }
}

async fn read_all(database: Database, mut waiting: mpsc::Receiver<Asked>) {
    let mut together = Vec::new();
    while waiting.recv_many(&mut together, TOGETHER_MAX).await > 0 {
        let (asked, tell): (Vec<_>, Vec<_>) = together.drain(..).unzip();
        let accounts: Vec<AccountId> = asked.into_iter().flatten().collect();
        match database.run(move |conn| Ok::<_, Error>(crossings::references(conn, &accounts)?)).await {
            Ok(known) => {
                let known = Arc::new(known);
                for told in tell {
                    // Whoever has stopped waiting needs none.
                    let _ = told.send(Arc::clone(&known));
                }
            }
            // Those who asked are dropped, and ask again when they are due.
            Err(error) => tracing::warn!(%error, "references of members cannot be read now"),
        }
    }
}
