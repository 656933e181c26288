-- What a brand expects of points that will never be used: an input, with who stated it and when, and never a figure of ours.

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

CREATE FUNCTION stated_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was stated in % is never changed: state it anew', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER estimates_final BEFORE UPDATE OR DELETE ON estimates FOR EACH ROW EXECUTE FUNCTION stated_is_final();
