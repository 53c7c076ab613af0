"""What the server of a rendered pod reads."""

from typing import Any

from llm_server import settings
from llm_server.settings import ServerSettings


def settings_in_container(container: dict[str, Any]) -> ServerSettings:
    """Return what the server makes of the container's arguments and variables.

    A variable that comes from a Secret or a ConfigMap has some text.

    Raises:
        StartupError: the server would not start, with the flag or variable that is wrong.
    """
    command, *arguments = container["args"]
    assert command == "serve"
    environ = {entry["name"]: entry.get("value", "from elsewhere") for entry in container["env"]}
    return settings.parse(arguments, environ)
