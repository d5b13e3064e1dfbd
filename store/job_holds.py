"""What keeps a queued job from being claimed that is nobody's fault: an approval, or the checkout it runs by.

One rule, as conditions of SQL over `jobs j`: for the claim, for the thirty minutes in which an agent has to
take a job up, and for what people are told. Asks and changes nothing.
"""

NOT_CHECKED_OUT = "EXISTS (SELECT FROM checkouts c WHERE c.id = j.checkout_id AND c.status = 'requested')"
"""The checkout it runs by is only asked for."""

# A checkout that a resumed instance asks for again has no step that waits: what runs as the identity does,
# by its checkout, and everything else goes on. Once the path comes to its step it is a gate as any other.
GATES = """approval_requests r WHERE r.instance_id = j.instance_id AND starts_with(j.branch, r.branch)
    AND (r.checkout_id IS NULL OR EXISTS (
        SELECT FROM step_results s
        WHERE s.instance_id = r.instance_id AND s.step_id = r.step_id AND s.visit = r.visit))"""
"""The requests, decided ones too, that stand before it: a gate in a branch holds back that branch and what
lies within; the steps beside it go on."""

GATED = f"EXISTS (SELECT FROM {GATES} AND r.status = 'pending')"
"""A gate that stands before it is undecided."""

HELD_UNTIL = f"""greatest(
    (SELECT c.active_at FROM checkouts c WHERE c.id = j.checkout_id),
    (SELECT max(r.decided_at) FROM {GATES}))"""
"""When the last of that was over; null if there was nothing."""
