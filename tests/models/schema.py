"""The schema of the CRD as strict validation reads it."""

from typing import Any

Json = dict[str, Any]


def closed(schema: Json) -> Json:
    """Return the schema with unknown fields refused, as strict validation does."""
    strict = {key: value for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        strict["properties"] = {name: closed(node) for name, node in schema["properties"].items()}
        strict["additionalProperties"] = False
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            strict[keyword] = closed(schema[keyword])
    return strict
