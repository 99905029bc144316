"""How gunicorn serves Throughgate, in development and in production alike.

In production it listens on loopback or a Unix socket behind a proxy that takes slow requests from it: a handful of
threads must not wait for someone's half-sent request. THROUGHGATE_BIND gives it another address,
THROUGHGATE_WEB_WORKERS another number of processes.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from gunicorn.glogging import Logger
from gunicorn.http.wsgi import Response


class AccessLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """One JSON line for each request, with its path and without its query (S-905).

    No address, user agent or referrer either (a referrer has a query of its own). JSON escapes what a path may smuggle
    in: line ends and terminal codes stay inert (S-305).
    """

    def access(self, resp: Response, _req: object, environ: Mapping[str, object], request_time: timedelta) -> None:
        """Log one answered request."""
        answered = {name.lower(): value for name, value in resp.headers}
        line = {
            "event": "request",
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "status": resp.status_code,
            "bytes": resp.sent,
            "ms": round(request_time / timedelta(milliseconds=1), 1),
            "request": answered.get("x-request-id"),
        }
        self.access_log.info(json.dumps(line))


def post_worker_init(_worker: object) -> None:
    """Take what a loaded worker holds for good out of the garbage collector's way: a full pass took 0.1 s of a page."""
    gc.collect()
    gc.freeze()
    # A page makes some ten thousand objects that no cycle holds: looking for one 15 times a page took 5 % of it.
    gc.set_threshold(10_000, 20, 50)


wsgi_app = "wsgi:app"
chdir = str(Path(__file__).resolve().parent.parent)
bind = os.environ.get("THROUGHGATE_BIND") or "127.0.0.1:8000"

worker_class = "gthread"
workers = int(os.environ.get("THROUGHGATE_WEB_WORKERS") or len(os.sched_getaffinity(0)))
threads = 4
# No preload: one engine per process, never across a fork.
preload_app = False
timeout = 30
graceful_timeout = 30
# A slow leak never grows old; the jitter keeps the processes from starting anew together. A start is two seconds of
# work, and every statement and template is then made ready anew: every 2,000 requests was a millisecond of each.
max_requests = 20_000
max_requests_jitter = 2_000

# Its control socket would lie in the home folder of whoever started it.
control_socket_disable = True
umask = 0o077

# Nobody is believed here: the service itself knows how many proxies stand before it (THROUGHGATE_TRUSTED_PROXIES).
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}

logger_class = AccessLog
accesslog = "-"
errorlog = "-"
