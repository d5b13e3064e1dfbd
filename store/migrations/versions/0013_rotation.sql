-- The credential of an identity is replaced: due from a check-in (or a person, or a job that printed it) on,
-- done when nobody holds it. Until then nobody else gets it.

ALTER TABLE identities
    ADD COLUMN rotation_not_before timestamptz NOT NULL DEFAULT now(),   -- of the next try
    ADD COLUMN rotation_failures   int NOT NULL DEFAULT 0,               -- tries in a row
    ADD COLUMN rotation_failed_at  timestamptz,                          -- the last of them
    ADD COLUMN rotation_error      text NOT NULL DEFAULT '',
    -- Of a local account: the job that sets the password which stands in this version of the vault's secret
    -- as the pending one.
    ADD COLUMN rotation_job_id     bigint REFERENCES jobs ON DELETE SET NULL,
    ADD COLUMN rotation_version    int,
    ADD COLUMN rotated_at          timestamptz,
    -- Its credential could not be replaced: nobody gets it.
    ADD COLUMN quarantined_at      timestamptz,
    ADD COLUMN quarantine_reason   text,
    ADD CHECK ((quarantined_at IS NULL) = (quarantine_reason IS NULL)),
    ADD CHECK (rotation_job_id IS NULL OR rotation_version IS NOT NULL);
CREATE INDEX identities_to_rotate ON identities (rotation_not_before) WHERE rotation_due_at IS NOT NULL;
