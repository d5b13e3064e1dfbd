"""Prefect's dashboards behind our sign-in, at `/prefect`: for looking, and for three writes.

What a browser may ask stands in `allowed`; only that reaches Prefect's server, with a key the browser
never sees. A resume is a person's vote (`resume`), a recurring job is switched and run by hand
(`recurring`). Nothing here imports prefect.
"""
