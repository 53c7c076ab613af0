"""``serve.py PORT``: answer ``/v2/status-NNN/...`` with NNN; standard library only."""

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_STATUS = re.compile(r"/v2/status-(\d{3})/")


class Handler(BaseHTTPRequestHandler):
    """Answers without a body."""

    def answer(self) -> None:
        """Answer any method."""
        match = _STATUS.match(self.path)
        status = int(match[1]) if match else 200
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="nobody"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = answer  # noqa: N815  # names of the base class


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
