//! The house a server lives in: its database, started if it is private, migrated, checked and pooled.

use super::Error;
use crate::config::{Config, DatabaseUrl};
use crate::embedded_pg::{EmbeddedPg, Options};
use crate::store::durability::{self, Durability};
use crate::store::{self, Bounds, Database};

/// The database of a private cluster that a server uses unless told otherwise.
pub const DATABASE: &str = "hanse";
/// The private cluster's folder inside the data folder.
pub const CLUSTER: &str = "postgres";

/// Said where the database found is not one that somebody can have meant.
const WHICH: &str = "name the one meant with --data-dir or --database-url (the demo's is --data-dir .hanse/demo)";

/// Fields are dropped in this order: the pool lets go of the server before the server stops.
pub struct House {
    pub config: Config,
    pub database: Database,
    /// For connections outside the pool, such as the lanes'. It may hold a password: never print it.
    pub database_url: String,
    pub durability: Durability,
    /// The migrations that were run now.
    pub migrated: Vec<String>,
    pub embedded: Option<EmbeddedPg>,
}

impl House {
    /// Starts or finds the database, migrates it, and refuses one that may lose what it has answered. Blocks.
    pub fn open(config: Config) -> Result<House, Error> {
        House::open_database(config, DATABASE)
    }

    /// The same with another database of a private cluster; `DATABASE_URL` names its own.
    pub fn open_database(config: Config, name: &str) -> Result<House, Error> {
        let embedded = start(&config)?;
        let database_url = match (&embedded, &config.database_url) {
            (Some(cluster), _) => {
                cluster.create_database(name).map_err(Error::failed)?;
                cluster.url(name)
            }
            (None, url) => url.as_ref().map(DatabaseUrl::expose).unwrap_or_default().to_owned(),
        };
        House::finish(config, database_url, embedded)
    }

    /// A house whose database is this one, on a cluster that somebody else looks after. Blocks.
    pub fn at(config: Config, database_url: String) -> Result<House, Error> {
        House::finish(config, database_url, None)
    }

    fn finish(config: Config, database_url: String, embedded: Option<EmbeddedPg>) -> Result<House, Error> {
        let migrated = store::migrate(&database_url).map_err(Error::failed)?;
        let durability = store::establish(&database_url).and_then(|mut conn| durability::check(&mut conn));
        let durability = durability.map_err(Error::failed)?;
        let bounds = Bounds { connections: config.read_pool, ..Bounds::default() };
        let database = Database::open(&database_url, bounds).map_err(Error::failed)?;
        Ok(House { config, database, database_url, durability, migrated, embedded })
    }

    /// Lets go of the database and, if it is private, stops it. Blocks.
    pub fn close(self) -> Result<(), Error> {
        drop(self.database);
        self.embedded.map_or(Ok(()), |cluster| cluster.stop().map_err(Error::failed))
    }
}

/// A database for one piece of work beside a server that may be running.
pub struct Reach {
    pub url: String,
    /// Started for this work, and stopped after it.
    _cluster: Option<EmbeddedPg>,
}

impl Reach {
    /// The database of a published alliance. A command that was given in the wrong folder says so, instead of "nothing is
    /// wrong" of an empty database. Blocks.
    pub fn open(config: &Config) -> Result<Reach, Error> {
        let reach = Reach::unpublished(config)?;
        let mut conn = store::establish(&reach.url).map_err(Error::failed)?;
        if !store::catalogue::exists(&mut conn).map_err(Error::failed)? {
            return Err(Error::Failed(format!("{}: {WHICH}", store::Error::Unpublished)));
        }
        Ok(reach)
    }

    /// The database the configuration names, or that of a private cluster, started here unless a server runs it. What is not
    /// there is not made. Blocks.
    pub fn unpublished(config: &Config) -> Result<Reach, Error> {
        let folder = config.data_dir.join(CLUSTER);
        if config.database_url.is_none() && !EmbeddedPg::exists(&folder) {
            return Err(Error::Failed(format!("there is no database in {}: {WHICH}", config.data_dir.display())));
        }
        Reach::found(config)
    }

    /// The same for who founds an alliance: a private cluster that is missing is made. Blocks.
    pub fn found(config: &Config) -> Result<Reach, Error> {
        if let Some(url) = &config.database_url {
            return Ok(Reach { url: url.expose().to_owned(), _cluster: None });
        }
        let folder = config.data_dir.join(CLUSTER);
        if let Some(url) = EmbeddedPg::running_url(&folder, DATABASE).map_err(Error::failed)? {
            return Ok(Reach { url, _cluster: None });
        }
        let cluster = EmbeddedPg::start(&Options::new(folder)).map_err(Error::failed)?;
        cluster.create_database(DATABASE).map_err(Error::failed)?;
        let url = cluster.url(DATABASE);
        store::migrate(&url).map_err(Error::failed)?;
        Ok(Reach { url, _cluster: Some(cluster) })
    }
}

/// The private cluster, unless the configuration names a database.
pub fn start(config: &Config) -> Result<Option<EmbeddedPg>, Error> {
    if config.database_url.is_some() {
        return Ok(None);
    }
    let cluster = EmbeddedPg::start(&Options::new(config.data_dir.join(CLUSTER))).map_err(Error::failed)?;
    tracing::info!(folder = %cluster.data_folder().display(), pid = cluster.pid(), "private PostgreSQL is ready");
    Ok(Some(cluster))
}
