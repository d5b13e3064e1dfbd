"""The life of jobs, instances, approval requests and checkouts: states and the moves between them."""

from definitions.lifecycles import approval, checkout, instance, job
from definitions.lifecycles.moves import Move

LIFECYCLES: dict[str, tuple[Move, ...]] = {
    "job": job.MOVES,
    "instance": instance.MOVES,
    "approval": approval.MOVES,
    "checkout": checkout.MOVES,
}
"""Every table of moves by the name SQL knows it by."""
