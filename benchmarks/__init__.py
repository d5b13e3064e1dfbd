"""Measures Opsgate beside its peers, in the same run on the same machine: `python -m benchmarks`.

Outermost, like deployments: may import everything, nothing imports it. Every peer and every load runs in
a process of its own and prints its figures as JSON (`child`); loops are bounded, listeners are
on loopback, and whatever is started is stopped.
"""
