-- A credential is read when an agent claims the job. Where the vault does not give it, the job waits a while.

ALTER TABLE jobs
    ADD COLUMN credential_tries smallint NOT NULL DEFAULT 0,  -- of this attempt, that came to nothing
    ADD COLUMN claim_after timestamptz;                       -- not asked for again before

-- The credential was seen where it should not be: it is due to be replaced.
ALTER TABLE identities
    ADD COLUMN rotation_due_at timestamptz,
    ADD COLUMN rotation_reason text,
    ADD CHECK ((rotation_due_at IS NULL) = (rotation_reason IS NULL));

-- A new key that an agent has shown, and not yet proved that it is the agent that has the old one.
ALTER TABLE agents
    ADD COLUMN next_public_key bytea CHECK (length(next_public_key) = 32),
    ADD COLUMN key_proof_sha256 bytea;
