"""Prefect's dashboards behind our sign-in, at `/prefect`: for looking, and for one write, the resume form.

What a browser may ask stands in `allowed`; only that reaches Prefect's server, with a key the browser
never sees. A resume is a person's vote (`resume`). Nothing here imports prefect.
"""
