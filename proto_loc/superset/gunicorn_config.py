"""gunicorn's settings: two processes that share what Superset imports, with threads that wait for
queries.

The worker is gunicorn's own with threads, except that slow clients hold none:
:mod:`proto_loc.superset.worker`.
"""

import gc
import os

import duckdb

from proto_loc.settings import settings
from proto_loc.superset import readers

wsgi_app = "superset.app:create_app()"
bind = f"127.0.0.1:{settings().port('superset')}"
workers = 2
worker_class = "proto_loc.superset.worker.Worker"
threads = readers.THREADS
worker_connections = 400  # beyond them, the one that has waited longest for its client is closed
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
    """What is there now is shared with the workers; a collection in one of them would copy it.

    To import duckdb is to open a database in memory. Its threads do not come along, and a worker
    that ends would wait for them, and abort (duckdb/duckdb-python#292).
    """
    from superset import db_engine_specs

    db_engine_specs.load_engine_specs()  # modules, which threads would import at the same time
    duckdb.default_connection().close()
    gc.collect()
    gc.freeze()


def post_fork(server, worker) -> None:
    """No two processes may use one connection to the metadata."""
    from superset.extensions import db

    app = server.app.wsgi()
    with app.app_context():
        db.engine.dispose()
