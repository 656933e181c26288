-- The member's page: one-time addresses a brand's app opens it by, and the sessions they become. All of it is wire time.

CREATE TABLE member_openings (
    hash       uuid        PRIMARY KEY,
    account_id uuid        NOT NULL,
    scopes     text[]      NOT NULL CONSTRAINT member_openings_scopes_few CHECK (cardinality(scopes) <= 8),
    return_url text        CONSTRAINT member_openings_return_short CHECK (length(return_url) <= 2000),
    expires_at timestamptz NOT NULL
);
CREATE INDEX member_openings_over ON member_openings (expires_at);
COMMENT ON TABLE member_openings IS 'One-time addresses of the member''s page, by the hash of their code: a row is deleted by the first who opens it.';

CREATE TABLE member_sessions (
    hash       uuid        PRIMARY KEY,
    account_id uuid        NOT NULL,
    scopes     text[]      NOT NULL CONSTRAINT member_sessions_scopes_few CHECK (cardinality(scopes) <= 8),
    return_url text        CONSTRAINT member_sessions_return_short CHECK (length(return_url) <= 2000),
    opened_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends_at    timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX member_sessions_over ON member_sessions (ends_at);
CREATE INDEX member_sessions_of_account ON member_sessions (account_id);
COMMENT ON TABLE member_sessions IS 'Open pages of members, by the hash of the cookie: of one membership, whose points alone it spends.';
