"""The embedded stack: PostgreSQL, Prefect server, web process and worker on one machine.

One file per part; `embedded.py` starts them in order. Everything it owns lies in one data folder,
everything it opens listens on loopback or a private unix socket. Holds no rule of the domain.
"""
