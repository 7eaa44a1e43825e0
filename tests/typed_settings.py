"""The settings as the type checker reads them: it needs their names and types, not a database."""

import os

os.environ.setdefault("DATABASE_WEB_URL", "postgresql://127.0.0.1/none")
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1/0")
os.environ.setdefault("SECRET_KEY", "read by the type checker alone")

from portal.settings import *  # noqa: F403
