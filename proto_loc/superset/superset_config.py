"""Superset's configuration; ports, folders and limits come from proto_loc's settings."""

import logging
import os
from datetime import timedelta
from functools import partial
from pathlib import Path

from proto_loc import fork_file
from proto_loc.settings import private_folder, settings
from proto_loc.superset import (
    dbapi,
    doors,
    events,
    logins,
    origin_check,
    pages,
    query_times,
    readers,
    sessions,
    sql_fixes,
)
from proto_loc.web.origins import Origins

_NOW = settings()
_ORIGINS = Origins(_NOW.port("superset"), _NOW.superset_address)
_HOME = private_folder(_NOW.run / "superset")
"""Folder that may be deleted: caches and counts of log-ins."""
DATA_DIR = str(_HOME)  # by default a folder in the home directory, which may not be writable

os.umask(0o077)

LOG_LEVEL = "WARNING"
ALEMBIC_SKIP_LOG_CONFIG = True
for _noisy in ("importers", "database.utils", "dataset.importers"):  # provisioning reports these
    logging.getLogger(f"superset.commands.{_noisy}").setLevel(logging.CRITICAL)
# A refused query is not logged: its answer has the reason.
for _noisy in ("superset.views.error_handling", "superset.views.base", "sqlglot", "py.warnings"):
    logging.getLogger(_noisy).setLevel(logging.ERROR)

# Secrets and metadata
SECRET_KEY = Path(os.environ["LOC_SECRET_FILE"]).read_text().strip()
# Both features are off, but their default secrets are public.
GUEST_TOKEN_JWT_SECRET = GLOBAL_ASYNC_QUERIES_JWT_SECRET = SECRET_KEY
SQLALCHEMY_DATABASE_URI = _NOW.superset_metadata
if not SQLALCHEMY_DATABASE_URI.startswith("sqlite"):  # each thread may hold a connection
    SQLALCHEMY_ENGINE_OPTIONS = {"max_overflow": readers.THREADS}

if (_FORK := fork_file.name()) != "proto_loc":
    APP_NAME = _FORK  # in the titles of its pages

# The data: one database, and only through the guard
doors.door().register()
DB_SQLA_URI_VALIDATOR = doors.check_address
PREVENT_UNSAFE_DB_CONNECTIONS = True
SQLGLOT_DIALECTS_EXTENSIONS = {"duckdb": sql_fixes.DuckDB}
SQL_MAX_ROW = TABLE_VIZ_MAX_ROW_SERVER = ROW_LIMIT = DISPLAY_MAX_ROW = dbapi.MAX_ROWS
DEFAULT_SQLLAB_LIMIT = 1_000
SQLLAB_TIMEOUT = SQLLAB_VALIDATION_TIMEOUT = int(_NOW.query_timeout) + 1  # the door enforces it
SUPERSET_WEBSERVER_TIMEOUT = int(_NOW.query_timeout) + 30

# Caches: files, whose entries belong to one published version
_CACHE = {
    "CACHE_TYPE": "proto_loc.superset.cache.VersionedFileSystemCache",
    "CACHE_THRESHOLD": 2_000,
    "CACHE_DEFAULT_TIMEOUT": int(timedelta(days=1).total_seconds()),
}
CACHE_CONFIG = _CACHE | {"CACHE_DIR": str(private_folder(_HOME / "cache/catalogue"))}
DATA_CACHE_CONFIG = _CACHE | {
    "CACHE_TYPE": "proto_loc.superset.cache.DataCache",
    "CACHE_DIR": str(private_folder(_HOME / "cache/data")),
}

# Queries run in the web server's processes: there is no Celery broker or worker
CELERY_CONFIG = None
RESULTS_BACKEND = None
FEATURE_FLAGS = {
    "ALERT_REPORTS": False,
    "DASHBOARD_RBAC": True,
    "DYNAMIC_PLUGINS": False,
    "EMBEDDED_SUPERSET": False,
    "ENABLE_JAVASCRIPT_CONTROLS": False,
    "ENABLE_TEMPLATE_PROCESSING": False,
    "GLOBAL_ASYNC_QUERIES": False,
    "RLS_IN_SQLLAB": True,
    "SSH_TUNNELING": False,
    "THUMBNAILS": False,
}

EVENT_LOGGER = events.EventLogger()

# Authentication
CUSTOM_SECURITY_MANAGER = sessions.SecurityManager
AUTH_ROLE_PUBLIC = "Public"
PUBLIC_ROLE_LIKE = None
AUTH_USER_REGISTRATION = False
AUTH_RATE_LIMITED = RATELIMIT_ENABLED = False  # useless in 6.1; see proto_loc/superset/logins.py
FAB_API_SWAGGER_UI = False
SHOW_STACKTRACE = False
PERMANENT_SESSION_LIFETIME = timedelta(hours=12)

# Browser security
WTF_CSRF_ENABLED = True
WTF_CSRF_SSL_STRICT = False  # hosts differ behind a proxy; origin_check.py checks origins
# A browser sends a host's cookies to all its ports, so the name contains the port.
SESSION_COOKIE_NAME = f"loc_superset_{_NOW.port('superset')}"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = _ORIGINS.forwarded
ENABLE_CORS = False
ENABLE_PROXY_FIX = _ORIGINS.forwarded
PROXY_FIX_CONFIG = {"x_for": 1, "x_proto": 1, "x_host": 0, "x_port": 0, "x_prefix": 0}
ADDITIONAL_MIDDLEWARE = [partial(origin_check.Guard, origins=_ORIGINS)]
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    "content_security_policy": {
        "default-src": "'self'",
        "base-uri": "'self'",
        "connect-src": "'self'",
        "font-src": ["'self'", "data:"],
        "form-action": "'self'",
        "frame-ancestors": "'self'",
        "img-src": ["'self'", "blob:", "data:"],
        "object-src": "'none'",
        "script-src": ["'self'", "'strict-dynamic'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "worker-src": ["'self'", "blob:"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,  # TLS ends at the proxy
    "session_cookie_secure": _ORIGINS.forwarded,
    "session_cookie_samesite": "Lax",
    "strict_transport_security": _ORIGINS.forwarded,
    "referrer_policy": "same-origin",
}
HTML_SANITIZATION = True
THEME_FONT_URL_ALLOWED_DOMAINS: list[str] = []
DATASET_IMPORT_ALLOWED_DATA_URLS: list[str] = []  # by default an import fetches any URL
MAPBOX_API_KEY = ""
SLACK_ENABLE_AVATARS = False


def FLASK_APP_MUTATOR(app):
    """Install our changes; this is Superset's hook that receives the application."""
    from superset.exceptions import SupersetErrorsException

    from proto_loc.superset import statements

    SupersetErrorsException.status = 400  # for a failed query, because pages retry the default, 500
    statements.install()
    sql_fixes.keep_limits()
    sql_fixes.keep_last_rows()
    sql_fixes.bind_tasks()
    sql_fixes.tell_of_datasets()
    sql_fixes.find_engines_once(doors.door().engine_specs())
    pages.mend(app)
    query_times.measure(app)
    origin_check.bound_strangers(app)
    sessions.keep(app, logins.ENDPOINTS)
    logins.limit(app, _HOME / "logins.db")
