-- A step on several hosts may begin on some of them only later, or never: which hosts it is meant for is
-- kept when it begins. A host of it without a job has not begun.

ALTER TABLE step_results ADD COLUMN host_ids bigint[] NOT NULL DEFAULT '{}';  -- of a script or command, in target order
ALTER TABLE step_results ADD COLUMN deadline timestamptz;                     -- by `timeout_minutes`; not of an approval
UPDATE step_results s SET host_ids = made.host_ids
FROM (SELECT instance_id, step_id, visit, array_agg(host_id ORDER BY id) AS host_ids FROM jobs
      WHERE instance_id IS NOT NULL GROUP BY instance_id, step_id, visit) made
WHERE (s.instance_id, s.step_id, s.visit) = (made.instance_id, made.step_id, made.visit);
