-- Which version of an identity could not be rotated: one that is saved after that is tried once more. The
-- moments of the two say nothing, for a save may have begun before and be there after.

ALTER TABLE identities ADD COLUMN rotation_failed_version int;
UPDATE identities i SET rotation_failed_version = (
    SELECT max(v.version) FROM identity_versions v
    WHERE v.identity_id = i.id AND v.created_at <= i.rotation_failed_at);
