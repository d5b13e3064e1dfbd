-- Vaults and identities, versioned as scripts are. Neither holds a secret: a vault says where Opsgate finds
-- what it signs in with, an identity where in the vault its credential is.

CREATE TABLE vaults (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    version     int NOT NULL DEFAULT 1,     -- the newest
    archived_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE vault_versions (
    vault_id   bigint NOT NULL REFERENCES vaults,
    version    int NOT NULL,
    definition jsonb NOT NULL,              -- the frozen shape of a vault file, without name
    created_by bigint REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (vault_id, version)
);
CREATE TABLE identities (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    version     int NOT NULL DEFAULT 1,
    archived_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE identity_versions (
    identity_id bigint NOT NULL REFERENCES identities,
    version     int NOT NULL,
    definition  jsonb NOT NULL,
    created_by  bigint REFERENCES users,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (identity_id, version)
);
