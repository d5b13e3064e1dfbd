-- A job may run as an identity: by a checkout of its instance, or by one made for it and the jobs beside it.

ALTER TABLE jobs ADD COLUMN checkout_id bigint REFERENCES checkouts;
CREATE INDEX jobs_of_a_checkout ON jobs (checkout_id) WHERE checkout_id IS NOT NULL;

-- Made for jobs and no instance, a checkout belongs to the jobs that name it, and ends with the last of them.
ALTER TABLE checkouts
    ALTER COLUMN instance_id DROP NOT NULL,
    ALTER COLUMN step_id DROP NOT NULL,
    ALTER COLUMN visit DROP NOT NULL,
    ADD CHECK (num_nulls(instance_id, step_id, visit) IN (0, 3));

-- A request of kind 'pam' asks whether this checkout may become active.
ALTER TABLE approval_requests
    ADD COLUMN checkout_id bigint UNIQUE REFERENCES checkouts,
    ADD CHECK (checkout_id IS NULL OR kind = 'pam');
