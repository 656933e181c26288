-- What brands state of themselves: what they expect of points that will never be used, and, where their accounts are not kept
-- here, what is outstanding. Inputs, with who stated them and when, and never figures of ours.

CREATE TABLE estimates (
    partner      text   NOT NULL,
    version      bigint NOT NULL CONSTRAINT estimates_version_positive CHECK (version > 0),
    basis_points bigint NOT NULL CONSTRAINT estimates_share_range CHECK (basis_points BETWEEN 0 AND 10000),
    author       text   NOT NULL CONSTRAINT estimates_author_length CHECK (char_length(author) BETWEEN 1 AND 255),
    stated_on    date   NOT NULL,
    note         text   NOT NULL CONSTRAINT estimates_note_length CHECK (char_length(note) <= 500),
    CONSTRAINT estimates_key PRIMARY KEY (partner, version),
    CONSTRAINT estimates_partner_known FOREIGN KEY (partner) REFERENCES partners (slug)
);
COMMENT ON TABLE estimates IS 'Breakage as brands estimate it, in dense versions; shown beside the liability, never taken off it.';
COMMENT ON COLUMN estimates.basis_points IS 'Share of outstanding points, in hundredths of a per cent, that is expected to end unused.';
COMMENT ON COLUMN estimates.stated_on IS 'Business day, in the alliance''s zone.';

CREATE TABLE reported_points (
    window_id   uuid        NOT NULL,
    partner     text        NOT NULL,
    version     bigint      NOT NULL CONSTRAINT reported_points_version_positive CHECK (version > 0),
    points      bigint      NOT NULL CONSTRAINT reported_points_range CHECK (points BETWEEN 0 AND 9007199254740991),
    never       bigint      CONSTRAINT reported_points_never_within CHECK (never BETWEEN 0 AND points),
    as_of       date        NOT NULL,
    note        text        CONSTRAINT reported_points_note_length CHECK (char_length(note) BETWEEN 1 AND 500),
    certificate text        NOT NULL CONSTRAINT reported_points_certificate_thumbprint CHECK (certificate ~ '^[A-Za-z0-9_-]{43}$'),
    stated_at   timestamptz NOT NULL,
    CONSTRAINT reported_points_key PRIMARY KEY (partner, window_id, version),
    CONSTRAINT reported_points_partner_known FOREIGN KEY (partner) REFERENCES partners (slug)
);
COMMENT ON TABLE reported_points IS 'Outstanding points as a brand reports them whose accounts are not kept here, in dense versions a window; the highest stands.';
COMMENT ON COLUMN reported_points.never IS 'How many of the points never end; NULL when that is not said.';
COMMENT ON COLUMN reported_points.as_of IS 'The business day at whose end they stood so.';
COMMENT ON COLUMN reported_points.certificate IS 'x5t#S256 (RFC 8705) of the certificate by which it was stated.';
COMMENT ON COLUMN reported_points.stated_at IS 'Business time.';

CREATE FUNCTION stated_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was stated in % is never changed: state it anew', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER estimates_final BEFORE UPDATE OR DELETE ON estimates FOR EACH ROW EXECUTE FUNCTION stated_is_final();
CREATE TRIGGER reported_points_final BEFORE UPDATE OR DELETE ON reported_points FOR EACH ROW EXECUTE FUNCTION stated_is_final();
