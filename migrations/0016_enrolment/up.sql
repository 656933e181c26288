-- Joining by a one-time token, rotating by oneself, and what becomes of a partner. Expands only.

ALTER TABLE certificates
    ADD COLUMN pem        text,
    ADD COLUMN key_sha256 bytea    CONSTRAINT certificates_key_length CHECK (octet_length(key_sha256) = 32),
    ADD COLUMN told_days  smallint CONSTRAINT certificates_told_range CHECK (told_days BETWEEN 1 AND 30);
COMMENT ON COLUMN certificates.pem IS 'As it was answered to a request, so that an answer that was lost can be given again; NULL for one whose key was made with it.';
COMMENT ON COLUMN certificates.key_sha256 IS 'SHA-256 of the public key (SubjectPublicKeyInfo) it was asked for with.';
COMMENT ON COLUMN certificates.told_days IS 'The last warning its holder had of its end: this many days before.';
-- What the revocation list is made of.
CREATE INDEX certificates_revoked ON certificates (serial) WHERE status = 'revoked';

CREATE TABLE enrolments (
    token_sha256 bytea       NOT NULL CONSTRAINT enrolments_token_length CHECK (octet_length(token_sha256) = 32),
    partner      text        NOT NULL CONSTRAINT enrolments_partner_plain CHECK (partner ~ '^[a-z][a-z0-9-]{1,31}$'),
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    x5t_s256     text,
    CONSTRAINT enrolments_key PRIMARY KEY (token_sha256),
    CONSTRAINT enrolments_life CHECK (created_at < expires_at),
    CONSTRAINT enrolments_used_whole CHECK ((used_at IS NULL) = (x5t_s256 IS NULL)),
    CONSTRAINT enrolments_certificate_known FOREIGN KEY (x5t_s256) REFERENCES certificates (x5t_s256)
);
CREATE INDEX enrolments_by_partner ON enrolments (partner) WHERE used_at IS NULL;
COMMENT ON TABLE enrolments IS 'One-time tokens with which partners ask for their first certificate: only the hash is kept. Times are wire time.';
COMMENT ON COLUMN enrolments.x5t_s256 IS 'The certificate it was used for: the same token with the same key is answered the same again.';

ALTER TABLE partners
    ADD COLUMN leaves_at   timestamptz,
    ADD COLUMN left_window bigint,
    ADD COLUMN closed_at   timestamptz,
    ADD CONSTRAINT partners_leaving_when CHECK (status NOT IN ('leaving', 'left') OR leaves_at IS NOT NULL),
    ADD CONSTRAINT partners_left_when CHECK (status = 'left' OR (left_window IS NULL AND closed_at IS NULL));
COMMENT ON COLUMN partners.leaves_at IS 'Business time at which its notice is over: then it has left.';
COMMENT ON COLUMN partners.left_window IS 'Number of the window that was open when it left: once this is settled nothing is open with it.';
COMMENT ON COLUMN partners.closed_at IS 'When, after it left and everything was settled, its certificates were revoked. Wire time.';

CREATE TABLE partner_steps (
    partner text        NOT NULL,
    step_no integer     NOT NULL CONSTRAINT partner_steps_number_positive CHECK (step_no > 0),
    event   text        NOT NULL CONSTRAINT partner_steps_event_known
                        CHECK (event IN ('activate', 'suspend', 'resume', 'leave', 'depart')),
    status  text        NOT NULL CONSTRAINT partner_steps_status_known
                        CHECK (status IN ('joining', 'active', 'suspended', 'leaving', 'left')),
    reason  text        NOT NULL CONSTRAINT partner_steps_reason_length CHECK (char_length(reason) BETWEEN 1 AND 500),
    at      timestamptz NOT NULL,
    CONSTRAINT partner_steps_key PRIMARY KEY (partner, step_no),
    CONSTRAINT partner_steps_partner_known FOREIGN KEY (partner) REFERENCES partners (slug)
);
COMMENT ON TABLE partner_steps IS 'How each partner came from one status to the next, and why. Business time; rows are only added.';
