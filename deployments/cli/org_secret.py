"""`opsgate org-secret`: the secrets by which agents enrol, and nothing else."""

from cyclopts import App

from deployments.cli.connection import Connection
from deployments.cli.output import Json, Limit, print_json, print_rows

app = App(name="org-secret", help_format="plaintext")


@app.command(name="list")
def list_(*, limit: Limit = 100, json: Json = False) -> None:
    """List organisation secrets and how often each was used."""
    columns = ("id", "name", "uses", "max_uses", "expires_at", "revoked_at")
    print_rows(Connection.find().items("/org-secrets", limit), columns, as_json=json)


@app.command
def create(name: str, *, uses: int = 1, hours: float = 24, json: Json = False) -> None:
    """Create a secret for --uses agents, good for --hours; it is shown once."""
    body = {"name": name, "max_uses": uses, "lifetime_minutes": max(1, round(hours * 60))}
    found = Connection.find().post("/org-secrets", body)
    if json:
        print_json(found)
    else:
        print(found["secret"])


@app.command
def revoke(secret: int, *, json: Json = False) -> None:
    """Let no further agent enrol by this secret."""
    Connection.find().delete(f"/org-secrets/{secret}")
    if json:
        print_json({"revoked": secret})
    else:
        print(f"Organisation secret {secret} is revoked.")
