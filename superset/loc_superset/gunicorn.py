"""gunicorn's settings: two processes that share what Superset imports, with threads that a query's time-out can reach.

Threads and not gevent: DuckDB works outside of Python, so that in one greenlet it would hold up all of them, and the
timer that is to interrupt it. DuckDB is first opened in a worker, never before the fork: its threads do not come along.
"""

import gc
import os

from proto_loc.settings import settings

wsgi_app = "superset.app:create_app()"
bind = f"127.0.0.1:{settings().port('superset')}"
workers = 2
worker_class = "gthread"
threads = 8
timeout = 120
graceful_timeout = 5
keepalive = 5
preload_app = True
accesslog = None
umask = 0o077
worker_tmp_dir = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)
forwarded_allow_ips = "127.0.0.1"
control_socket_disable = True


def pre_fork(server, worker) -> None:
    """What is there now is shared with the workers; a collection in one of them would copy it."""
    gc.collect()
    gc.freeze()


def post_fork(server, worker) -> None:
    """No two processes may use one connection to the metadata."""
    from superset.extensions import db

    app = server.app.wsgi()
    with app.app_context():
        db.engine.dispose()
