-- What later migrations stand on. btree_gist lets an exclusion constraint compare plain values beside ranges,
-- which is how overlapping rates are refused. It is a trusted extension: the database's owner may create it.
CREATE EXTENSION IF NOT EXISTS btree_gist;
