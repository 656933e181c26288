-- Staff who are added or set up anew on a page choose password and second factor themselves, by a one-time address; and from
-- when on they may be one of two who say the same. All of it is wire time.
-- Additive: servers of the version before may run while this is applied.

ALTER TABLE staff ADD COLUMN trusted_from timestamptz;
COMMENT ON COLUMN staff.trusted_from IS 'From when on this login may be one of two who say the same; NULL: at once, as whoever runs the command line has set it up.';

-- What the book has done is logged afterwards, once: whether it is there already is asked by its subject.
CREATE INDEX staff_log_by_subject ON staff_log (subject, action);

CREATE TABLE staff_enrolments (
    staff_id    uuid        NOT NULL,
    code_sha256 bytea       NOT NULL CONSTRAINT staff_enrolments_code_length CHECK (octet_length(code_sha256) = 32),
    added_by    text,
    password    text        CONSTRAINT staff_enrolments_password_hashed CHECK (password LIKE '$argon2id$%'),
    totp        bytea       CONSTRAINT staff_enrolments_totp_length CHECK (octet_length(totp) = 48),
    failures    integer     NOT NULL DEFAULT 0 CONSTRAINT staff_enrolments_failures_range CHECK (failures >= 0),
    ends_at     timestamptz NOT NULL,
    CONSTRAINT staff_enrolments_key PRIMARY KEY (staff_id),
    CONSTRAINT staff_enrolments_code_once UNIQUE (code_sha256),
    CONSTRAINT staff_enrolments_staff_known FOREIGN KEY (staff_id) REFERENCES staff (staff_id) ON DELETE CASCADE,
    CONSTRAINT staff_enrolments_both CHECK ((password IS NULL) = (totp IS NULL))
);
COMMENT ON TABLE staff_enrolments IS 'One-time addresses by which staff set up their own login, by the hash of their code. Until then the login has a password that nobody knows.';
COMMENT ON COLUMN staff_enrolments.code_sha256 IS 'Of the address; once a password is chosen, of what the next form brings back.';
COMMENT ON COLUMN staff_enrolments.added_by IS 'The login of who has added or reset them.';
COMMENT ON COLUMN staff_enrolments.password IS 'Chosen, and in force with the first right code.';
COMMENT ON COLUMN staff_enrolments.totp IS 'Sealed as the one of staff is.';
