"""The life of jobs, instances, approval requests and checkouts: states and the moves between them."""
