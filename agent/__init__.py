"""The Opsgate host agent: polls the server, runs jobs, reports results.

Its own small distribution. It must not import any of the server's packages;
the server imports only `agent.protocol` and `agent.payloads`.
"""

__version__ = "0.1.0"
