"""`opsgate vault`: where credentials are kept, and whether Opsgate is let in. Saving is `opsgate apply`."""

from cyclopts import App

from definitions.harmless import terminal_text
from deployments.cli.connection import Connection, segment
from deployments.cli.output import Json, print_json
from deployments.cli.versioned import Name, add_verbs

app = App(name="vault", help_format="plaintext")

add_verbs(app, "/vaults")


@app.command(name="test")
def try_out(name: Name, /, *, json: Json = False) -> int:
    """Sign in to a vault as Opsgate does, and say what came of it; it reads no credential."""
    found = Connection.find().post(f"/vaults/{segment(name)}/test")
    if json:
        print_json(found)
    else:
        print(terminal_text(found["message"]))
    return 0 if found["works"] else 1
