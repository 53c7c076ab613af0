"""Console script ``llm-server``: signals first, then everything else.

A process with the id 1, as in a container, ignores signals that it has no handler for. Until the
server can drain, SIGTERM must end it at once: so the handler comes before the imports that take
most of the first second.
"""

import os
import signal
import sys


def main() -> None:
    """Run a command and exit with its code."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from llm_server import cli  # noqa: PLC0415  # see the module's first paragraph

    code = cli.run(sys.argv[1:], os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread may still be inside a load or a step; unwinding the interpreter under it crashes,
    # and the exit code must be ours.
    os._exit(code)


if __name__ == "__main__":
    main()
