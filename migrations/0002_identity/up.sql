-- Who may call and who may sign: certificates, the signing keys of partners and operators, the alliance's own keys.

CREATE TABLE certificates (
    x5t_s256    text        PRIMARY KEY CONSTRAINT certificates_x5t_form CHECK (x5t_s256 ~ '^[A-Za-z0-9_-]{43}$'),
    holder_kind text        NOT NULL CONSTRAINT certificates_kind_known CHECK (holder_kind IN ('partner', 'operator')),
    holder_name text        NOT NULL CONSTRAINT certificates_name_length CHECK (length(holder_name) BETWEEN 1 AND 64),
    -- Hexadecimal, as in the authority's revocation list.
    serial      text        NOT NULL CONSTRAINT certificates_serial_unique UNIQUE CONSTRAINT certificates_serial_form CHECK (serial ~ '^([0-9a-f]{2}){1,20}$'),
    not_before  timestamptz NOT NULL,
    not_after   timestamptz NOT NULL,
    status      text        NOT NULL DEFAULT 'active' CONSTRAINT certificates_status_known CHECK (status IN ('active', 'revoked')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz,
    CONSTRAINT certificates_life CHECK (not_before < not_after),
    CONSTRAINT certificates_revoked_when CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);
CREATE INDEX certificates_holder ON certificates (holder_kind, holder_name, x5t_s256);
COMMENT ON TABLE certificates IS 'Client certificates of partners and operators; only a registered, active one may call.';

CREATE TABLE signing_keys (
    kid         text        PRIMARY KEY CONSTRAINT signing_keys_kid_form CHECK (kid ~ '^[A-Za-z0-9_-]{43}$'),
    holder_kind text        NOT NULL CONSTRAINT signing_keys_kind_known CHECK (holder_kind IN ('partner', 'operator')),
    holder_name text        NOT NULL CONSTRAINT signing_keys_name_length CHECK (length(holder_name) BETWEEN 1 AND 64),
    jwk         jsonb       NOT NULL,
    status      text        NOT NULL DEFAULT 'active' CONSTRAINT signing_keys_status_known CHECK (status IN ('active', 'retired')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    retired_at  timestamptz,
    CONSTRAINT signing_keys_retired_when CHECK ((status = 'retired') = (retired_at IS NOT NULL))
);
CREATE INDEX signing_keys_holder ON signing_keys (holder_kind, holder_name, kid);
COMMENT ON TABLE signing_keys IS 'Public keys with which partners and operators approve and counter-sign; kept for ever, a kid is never used again.';

CREATE TABLE alliance_keys (
    kid        text        PRIMARY KEY CONSTRAINT alliance_keys_kid_form CHECK (kid ~ '^[A-Za-z0-9_-]{43}$'),
    -- What the key signs: one key is never used for two purposes.
    purpose    text        NOT NULL CONSTRAINT alliance_keys_purpose_known CHECK (purpose IN ('quote')),
    jwk        jsonb       NOT NULL,
    -- The newest key whose time has come signs; until then servers only learn of it.
    signs_from timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alliance_keys_purpose ON alliance_keys (purpose, signs_from);
COMMENT ON TABLE alliance_keys IS 'Public halves of the alliance''s own signing keys; published for ever, the private halves are files.';
