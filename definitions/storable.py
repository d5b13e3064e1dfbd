"""Values that a job's output may have filled, as PostgreSQL keeps them. Pure; changes nothing else."""

from definitions.parameters import Value


def storable(text: str) -> str:
    """The text without what PostgreSQL keeps in no text and no JSON: NUL, and half a surrogate pair."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def storable_value(value: Value) -> Value:
    """Every text in it so, keys too."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [storable_value(each) for each in value]
    if isinstance(value, dict):
        return {storable(key): storable_value(each) for key, each in value.items()}
    return value
