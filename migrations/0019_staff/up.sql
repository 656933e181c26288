-- Staff: the people who sign in to the alliance's pages, their sessions, and the log of what they do. All of it is wire time.
-- Additive: servers of the version before may run while this is applied.

CREATE TABLE staff (
    staff_id      uuid        NOT NULL,
    login         text        NOT NULL CONSTRAINT staff_login_plain CHECK (login ~ '^[a-z0-9._@-]{3,64}$'),
    partner       text,
    role          text        NOT NULL CONSTRAINT staff_role_known
                              CHECK (role IN ('viewer', 'clerk', 'finance', 'engineer', 'admin')),
    password      text        NOT NULL CONSTRAINT staff_password_hashed CHECK (password LIKE '$argon2id$%'),
    totp          bytea       NOT NULL CONSTRAINT staff_totp_length CHECK (octet_length(totp) = 48),
    last_step     bigint      NOT NULL DEFAULT 0 CONSTRAINT staff_last_step_range CHECK (last_step >= 0),
    failures      integer     NOT NULL DEFAULT 0 CONSTRAINT staff_failures_range CHECK (failures >= 0),
    locked_until  timestamptz,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    signed_in_at  timestamptz,
    CONSTRAINT staff_key PRIMARY KEY (staff_id),
    CONSTRAINT staff_login_once UNIQUE (login),
    CONSTRAINT staff_partner_known FOREIGN KEY (partner) REFERENCES partners (slug),
    CONSTRAINT staff_clerk_of_partner CHECK (role <> 'clerk' OR partner IS NOT NULL),
    CONSTRAINT staff_operator_named CHECK (partner IS NOT NULL OR login ~ '^[a-z][a-z0-9._-]*$')
);
CREATE INDEX staff_by_partner ON staff (partner, login);
COMMENT ON TABLE staff IS 'People who may sign in to pages: a partner''s, or the operator''s where partner is NULL. A removed one''s row is deleted; the log keeps its login.';
COMMENT ON COLUMN staff.login IS 'An operator''s is the name by which it is known as operator/<name> too.';
COMMENT ON COLUMN staff.password IS 'Argon2id as a PHC string, which says its own parameters.';
COMMENT ON COLUMN staff.totp IS 'Secret of the one-time codes (RFC 6238), 20 bytes, sealed for this row.';
COMMENT ON COLUMN staff.last_step IS 'The newest 30 seconds whose code was used: a code counts once.';
COMMENT ON COLUMN staff.failures IS 'Tries since the last that was right, counted before they are looked at.';

CREATE TABLE staff_sessions (
    token_sha256 bytea       NOT NULL CONSTRAINT staff_sessions_token_length CHECK (octet_length(token_sha256) = 32),
    staff_id     uuid        NOT NULL,
    csrf         text        NOT NULL CONSTRAINT staff_sessions_csrf_length CHECK (char_length(csrf) = 43),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends_at      timestamptz NOT NULL,
    CONSTRAINT staff_sessions_key PRIMARY KEY (token_sha256),
    CONSTRAINT staff_sessions_staff_known FOREIGN KEY (staff_id) REFERENCES staff (staff_id) ON DELETE CASCADE,
    CONSTRAINT staff_sessions_life CHECK (created_at < ends_at)
);
CREATE INDEX staff_sessions_by_staff ON staff_sessions (staff_id, created_at);
CREATE INDEX staff_sessions_by_end ON staff_sessions (ends_at);
COMMENT ON TABLE staff_sessions IS 'Sessions of staff: only the hash of a session''s token is kept. It ends at ends_at, half an hour after it was last seen, or when it is signed out.';
COMMENT ON COLUMN staff_sessions.csrf IS 'What a form of this session must bring back.';
COMMENT ON COLUMN staff_sessions.last_seen_at IS 'To the minute.';

CREATE TABLE staff_log (
    seq       bigint      NOT NULL CONSTRAINT staff_log_seq_positive CHECK (seq > 0),
    at        timestamptz NOT NULL,
    partner   text,
    staff_id  uuid,
    login     text,
    action    text        NOT NULL CONSTRAINT staff_log_action_plain CHECK (action ~ '^[a-z][a-z0-9_.]{0,63}$'),
    subject   text        NOT NULL CONSTRAINT staff_log_subject_length CHECK (char_length(subject) <= 200),
    detail    jsonb       NOT NULL CONSTRAINT staff_log_detail_flat CHECK (jsonb_typeof(detail) = 'object'
                          AND NOT jsonb_path_exists(detail, '$.* ? (@.type() != "string")')),
    prev_hash bytea       NOT NULL CONSTRAINT staff_log_prev_hash_length CHECK (octet_length(prev_hash) = 32),
    hash      bytea       NOT NULL CONSTRAINT staff_log_hash_length CHECK (octet_length(hash) = 32),
    CONSTRAINT staff_log_key PRIMARY KEY (seq),
    CONSTRAINT staff_log_detail_small CHECK (octet_length(detail::text) <= 4096)
);
CREATE INDEX staff_log_by_partner ON staff_log (partner, seq);
COMMENT ON TABLE staff_log IS 'What staff have done, and who tried to sign in: rows are only added, one after the other, each with the hash of the one before.';
COMMENT ON COLUMN staff_log.partner IS 'Whose affair it was; NULL: the operator''s alone, or nobody''s that is known.';
COMMENT ON COLUMN staff_log.staff_id IS 'Who did it; NULL: whoever runs the command line, or nobody known.';
COMMENT ON COLUMN staff_log.login IS 'NULL for an unknown one: what was typed there may be a password.';
COMMENT ON COLUMN staff_log.detail IS 'Texts by name, without personal data or secrets.';
COMMENT ON COLUMN staff_log.prev_hash IS 'The hash of the row before; of the first, 32 zeros.';
COMMENT ON COLUMN staff_log.hash IS 'SHA-256 of prev_hash and every other column, each after its length: docs/operations.md has the layout.';

CREATE FUNCTION staff_log_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what the staff log says is never changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER staff_log_final BEFORE UPDATE OR DELETE ON staff_log FOR EACH ROW EXECUTE FUNCTION staff_log_is_final();
CREATE TRIGGER staff_log_stay BEFORE TRUNCATE ON staff_log FOR EACH STATEMENT EXECUTE FUNCTION staff_log_is_final();
