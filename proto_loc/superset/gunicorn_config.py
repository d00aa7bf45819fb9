"""gunicorn's settings: two worker processes with threads, which slow clients do not block.

The worker class is that of :mod:`proto_loc.superset.worker`.
"""

import gc
import os
import shutil
from pathlib import Path

import duckdb

from proto_loc import logs
from proto_loc.settings import private_folder, settings
from proto_loc.superset import readers

# Figures of an earlier server would be added to those of this one.
_metrics = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
shutil.rmtree(_metrics, ignore_errors=True)
private_folder(_metrics)

wsgi_app = "superset.app:create_app()"
bind = f"127.0.0.1:{settings().port('superset')}"
workers = 2
worker_class = "proto_loc.superset.worker.Worker"
threads = readers.THREADS
worker_connections = 400  # above it, the connection that has waited longest is closed
timeout = 120
graceful_timeout = 5
keepalive = 5
preload_app = True
accesslog = None
umask = 0o077
worker_tmp_dir = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)
forwarded_allow_ips = "127.0.0.1"
control_socket_disable = True
if logs.wants_json():
    logconfig_dict = {
        "root": {"level": "WARNING", "handlers": ["error_console"]},
        "loggers": {
            "gunicorn.error": {"level": "INFO", "handlers": ["error_console"], "propagate": False},
            "gunicorn.access": {"level": "WARNING", "propagate": False},  # it stays off
        },
        "formatters": {"generic": {"()": "proto_loc.logs.Formatter"}},
    }


def pre_fork(server, worker) -> None:
    """Prepare the memory that the workers share; gc.freeze keeps collections from copying it.

    The import of duckdb opens a database in memory. A fork does not copy its threads, so a worker
    that ends would wait for them, and abort (duckdb/duckdb-python#292).
    """
    from superset import db_engine_specs

    db_engine_specs.load_engine_specs()  # otherwise threads import these modules at the same time
    duckdb.default_connection().close()
    gc.collect()
    gc.freeze()


def post_fork(server, worker) -> None:
    """Close the inherited connections to the metadata, which two processes must not share."""
    from superset.extensions import db

    app = server.app.wsgi()
    with app.app_context():
        db.engine.dispose()
