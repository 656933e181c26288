//! Sessions: whose a token is, and their end.

use super::log::{Act, Actor, append};
use super::{Error, Signed, Staffing, holder};
use crate::domain::staff::Secret;
use crate::signing::digest::Sha256;
use crate::store::staff::sessions::{self, Row};
use diesel::{Connection, PgConnection};

/// Characters of a token.
const TOKEN: usize = 43;

/// By which a token is looked up, in the same time however much of it is right; `None` for what is no token.
pub(super) fn key(token: &str) -> Option<[u8; 32]> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (token.len() == TOKEN && token.bytes().all(plain)).then(|| {
        let mut hash = Sha256::default();
        hash.update(token.as_bytes());
        hash.finish()
    })
}

fn signed(row: Row) -> Signed {
    Signed {
        staff: row.staff,
        holder: holder(&row.login, row.partner.as_ref()),
        login: row.login,
        role: row.role,
        csrf: row.csrf,
        read_only: row.closed,
        is_new: row.new,
        ends_at: row.ends_at,
    }
}

/// The session of this key, which is noted to be used now: to the minute, so that pages do not all write.
pub(super) fn look(conn: &mut PgConnection, key: &[u8; 32]) -> Result<Option<Signed>, Error> {
    let Some(row) = sessions::find(conn, key)? else { return Ok(None) };
    if row.stale {
        sessions::touch(conn, key)?;
    }
    Ok(Some(signed(row)))
}

fn end(conn: &mut PgConnection, key: &[u8; 32]) -> Result<(), Error> {
    conn.transaction(|conn| {
        let found = sessions::find(conn, key)?;
        sessions::delete(conn, key)?;
        match found.map(signed) {
            Some(signed) => append(conn, &Actor::from(&signed), &Act::new("staff.signed_out", &signed.login)),
            None => Ok(()),
        }
    })
}

impl Staffing {
    /// Who is signed in by this token; `None` when it is none, is over, or was signed out.
    pub async fn session(&self, token: &Secret) -> Result<Option<Signed>, Error> {
        let Some(key) = key(token.expose()) else { return Ok(None) };
        self.database.run(move |conn| look(conn, &key)).await
    }

    /// Ends the session; one that is over is none the less.
    pub async fn sign_out(&self, token: &Secret) -> Result<(), Error> {
        let Some(key) = key(token.expose()) else { return Ok(()) };
        self.database.run(move |conn| end(conn, &key)).await
    }

    /// Ends every session of somebody, this one too; how many.
    pub async fn sign_out_everywhere(&self, signed: &Signed) -> Result<usize, Error> {
        let (staff, actor) = (signed.staff, Actor::from(signed));
        let act = Act::new("staff.signed_out_everywhere", &signed.login);
        let unit = move |conn: &mut PgConnection| {
            conn.transaction(|conn| {
                let ended = sessions::delete_all(conn, staff)?;
                append(conn, &actor, &act.with("sessions", ended))?;
                Ok(ended)
            })
        };
        self.database.run(unit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_is_not_looked_up() {
        assert!(key(&"a".repeat(TOKEN)).is_some());
        for bad in ["", "a", &"a".repeat(TOKEN + 1), &"=".repeat(TOKEN), &"ä".repeat(21)] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }
}
