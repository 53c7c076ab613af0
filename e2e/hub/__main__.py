"""``python -m e2e.hub --dir DIR --port PORT``: run the small Hub.

Needs the standard library only. Its pod runs it from the server's image: these files mounted
at ``/opt/hub/e2e/hub``, working directory ``/opt/hub``, ``--host 0.0.0.0``.
"""

import argparse
import signal
import sys
import threading
from pathlib import Path

from e2e.hub.repositories import read_directory
from e2e.hub.server import HubServer


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM or SIGINT; 0."""
    parser = argparse.ArgumentParser(prog="python -m e2e.hub", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="ORG/NAME/ or a hub.json")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--host", default="127.0.0.1")
    chosen = parser.parse_args(arguments)
    server = HubServer((chosen.host, chosen.port), read_directory(chosen.dir))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"hub: {server.url}\n")
    sys.stdout.flush()
    stop.wait()
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
