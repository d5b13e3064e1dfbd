-- Where in the workflow a step lies: `p.0/` is the first branch of the parallel step p, `` the top.
-- A gate that is not decided holds back the jobs of its own branch, and of what lies within.

ALTER TABLE jobs ADD COLUMN branch text NOT NULL DEFAULT '';
ALTER TABLE approval_requests ADD COLUMN branch text NOT NULL DEFAULT '';
