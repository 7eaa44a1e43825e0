"""All settings in one file, read from the environment; a wrong value stops the start and names its variable.

`docker/env.example` lists every variable. `manage.py` fills in the addresses of the embedded parts before this is read.
"""

import contextlib
import os
import secrets
import shlex
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

BASE_DIR = Path(__file__).resolve().parent.parent
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def env(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise ImproperlyConfigured(f"{name} is not set; docker/env.example says what it is.")
    return default


def env_bool(name: str, *, default: bool) -> bool:
    value = env(name, "1" if default else "0").lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be 1 or 0, not {value!r}.")


def env_int(name: str, *, default: int, least: int = 0) -> int:
    value = env(name, str(default))
    if not value.isascii() or not value.isdigit() or int(value) < least:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def env_list(name: str) -> list[str]:
    return [part for part in env(name, "").replace(",", " ").split() if part]


def read_database(name: str) -> dict[str, Any]:
    """Django's form of a PostgreSQL address, read by libpq's own parser: sockets and options are as it documents."""
    try:
        parts = conninfo_to_dict(env(name))
    except ProgrammingError:
        raise ImproperlyConfigured(
            f"{name} is not a PostgreSQL address such as postgresql://user:password@host:5432/portal."
        ) from None
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": str(parts.pop("dbname", "") or ""),
        "USER": str(parts.pop("user", "") or ""),
        "PASSWORD": str(parts.pop("password", "") or ""),
        "HOST": str(parts.pop("host", "") or ""),
        "PORT": str(parts.pop("port", "") or ""),
        "OPTIONS": {"connect_timeout": 5, **parts},
        "CONN_MAX_AGE": env_int("DATABASE_CONN_MAX_AGE", default=300),
        "CONN_HEALTH_CHECKS": True,
    }


def read_secret_key(folder: Path, *, demo: bool) -> str:
    """From the environment; the demo makes its own once, written whole so that no process reads half a key."""
    if not demo or os.environ.get("SECRET_KEY"):
        return env("SECRET_KEY")
    path = folder / "secret-key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".secret-key", delete=False) as draft:
            draft.write(secrets.token_urlsafe(48))
        with contextlib.suppress(FileExistsError):
            os.link(draft.name, path)
        os.unlink(draft.name)
    return path.read_text().strip()


# Where and how it runs

PORT = env_int("PORT", default=8000, least=1)
DATA_DIR = Path(env("DATA_DIR", str(BASE_DIR / ".data"))).expanduser().resolve()
DEMO = env_bool("DEMO", default=False)
PRODUCTION = env_bool("PRODUCTION", default=False)
PUBLIC_URL = env("PUBLIC_URL", f"http://127.0.0.1:{PORT}").rstrip("/")
TICK_SECONDS = env_int("TICK_SECONDS", default=3 if DEMO else 30, least=1)
UNDO_SECONDS = env_int("UNDO_SECONDS", default=10 if DEMO else 600)
LEASE_SECONDS = env_int("LEASE_SECONDS", default=90, least=1)
CHECK_SECONDS = env_int("CHECK_SECONDS", default=5 if DEMO else 6 * 3600, least=1)
ANSWER_SECONDS = env_int("ANSWER_SECONDS", default=2, least=1)
# What may be written to each other about a request, and until when after it is closed.
FILE_MB = env_int("FILE_MB", default=5, least=1)
MESSAGE_FILES = env_int("MESSAGE_FILES", default=5)
CASE_FILES_MB = env_int("CASE_FILES_MB", default=25)
MESSAGES_AN_HOUR = env_int("MESSAGES_AN_HOUR", default=20, least=1)
APPEAL_DAYS = env_int("APPEAL_DAYS", default=60, least=1)
SCAN_COMMAND = shlex.split(env("SCAN_COMMAND", ""))
SCAN_SECONDS = env_int("SCAN_SECONDS", default=30, least=1)
DEBUG = False

_public = urlsplit(PUBLIC_URL)
if _public.scheme not in {"http", "https"} or not _public.hostname:
    raise ImproperlyConfigured(f"PUBLIC_URL must be an http or https address, not {PUBLIC_URL!r}.")
if DEMO and PRODUCTION:
    raise ImproperlyConfigured(
        "DEMO and PRODUCTION are both 1; the demo shows codes to everyone and must stay off in production."
    )
if DEMO and _public.hostname not in LOOPBACK:
    raise ImproperlyConfigured(f"DEMO is 1 but PUBLIC_URL is {PUBLIC_URL}; the demo answers on this machine only.")

SECRET_KEY = read_secret_key(DATA_DIR, demo=DEMO)
SECRET_KEY_FALLBACKS = env_list("SECRET_KEY_FALLBACKS")
_LOOPBACK_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
ALLOWED_HOSTS = _LOOPBACK_HOSTS if _public.hostname in LOOPBACK else [_public.hostname]
if not DEMO:
    ALLOWED_HOSTS = [*ALLOWED_HOSTS, *env_list("ALLOWED_HOSTS")]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

# Applications

INSTALLED_APPS = [
    "portal",
    "portal.core",
    "accounts",
    "rights",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "django_otp",
    "rest_framework",
    "drf_spectacular",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "portal.core.rls.RoleMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "accounts.middleware.ActingMiddleware",
    "rights.web.consents.GlobalPrivacyControl",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.core.context.page",
                "rights.web.context.frame",
            ],
        },
    },
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# Database, cache, queue

_ADDRESS_OF_ROLE = {"owner": "DATABASE_URL", "web": "DATABASE_WEB_URL", "worker": "DATABASE_WORKER_URL"}
PORTAL_ROLE = env("PORTAL_ROLE", "web")
if PORTAL_ROLE not in _ADDRESS_OF_ROLE:
    raise ImproperlyConfigured(f"PORTAL_ROLE must be one of {', '.join(_ADDRESS_OF_ROLE)}, not {PORTAL_ROLE!r}.")
DATABASES = {"default": read_database(_ADDRESS_OF_ROLE[PORTAL_ROLE])}

REDIS_URL = env("REDIS_URL")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "portal",
    }
}

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than any task: a redelivered task is harmless (leases live in PostgreSQL) but wasted work.
    "visibility_timeout": 3600,
    # A list for each; the first that is not empty is read. Requests: `rights.queries.place_of`; ticks are of the first.
    "priority_steps": [0, 1, 2, 5],
    # A person's click must not hang on a dead queue: the next tick catches up.
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "max_retries": 1,
    "interval_start": 0,
    "interval_max": 0.2,
}
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CONCURRENCY = env_int("WORKER_CONCURRENCY", default=2, least=1)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_TIMEZONE = "Asia/Shanghai"
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")
CELERY_BEAT_SCHEDULE = {
    # A tick that waited longer than its successor is not worth running.
    "tick": {"task": "rights.tasks.tick", "schedule": TICK_SECONDS, "options": {"expires": 10 * TICK_SECONDS}},
}

# Who may sign in, and how long a session lasts

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.standin.AccountBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
# Sign-ins that the demo lists on its sign-in page, by dotted path: the accounts know no demo.
SIGN_IN_HINTS = "portal.demo.accounts.DEMO_ACCOUNTS" if DEMO else ""
LOGIN_URL = "accounts:sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"

_https = _public.scheme == "https"
_prefix = "__Host-" if _https else ""
# Browsers keep cookies per host, whatever the port: two copies on one machine would sign each other out.
_suffix = f"-{_public.port}" if _public.port else ""
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = f"{_prefix}session{_suffix}"
SESSION_COOKIE_AGE = env_int("SESSION_SECONDS", default=3600, least=60)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = _https
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_SAVE_EVERY_REQUEST = False
CSRF_COOKIE_NAME = f"{_prefix}csrf{_suffix}"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = _https
LANGUAGE_COOKIE_NAME = "language"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = _https
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = _https and env_bool("SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = False
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]
if _https and env_bool("TRUST_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Words and dates

LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", _("Simplified Chinese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "portal" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Asia/Shanghai"

# Files

STATIC_URL = "static/"
STATIC_ROOT = Path(env("STATIC_ROOT", str(DATA_DIR / "static")))
# Only our own: the applications' files serve pages that the portal does not have.
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
STATICFILES_DIRS = [path for path in [BASE_DIR / "portal" / "static"] if path.is_dir()]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
MEDIA_ROOT = DATA_DIR / "files"
FILE_UPLOAD_HANDLERS = ["portal.core.uploads.InMemoryHandler"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# Mail and SMS (the demo writes both to its outbox page)

EMAIL_BACKEND = env("EMAIL_BACKEND", "django.core.mail.backends.smtp.EmailBackend")
EMAIL_HOST = env("EMAIL_HOST", "localhost")
EMAIL_PORT = env_int("EMAIL_PORT", default=25, least=1)
EMAIL_HOST_USER = env("EMAIL_USER", "")
EMAIL_HOST_PASSWORD = env("EMAIL_PASSWORD", "")
EMAIL_USE_TLS = env_bool("EMAIL_TLS", default=False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env("EMAIL_FROM", f"privacy@{_public.hostname}")
SMS_BACKEND = env("SMS_BACKEND", "")

# REST

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.SessionAuthentication",
        "accounts.tokens.TokenAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "rights.api.problems.handle_exception",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Privacy rights portal",
    "DESCRIPTION": "File, list, show and withdraw privacy requests.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
}

# Logs: one JSON object a line on stderr; the demo reads better as text. Never a person's name or number.

_SHARED_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]
_RENDERERS: list[Any] = (
    # Without the values of local variables: they are people's names and numbers.
    [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    if DEMO
    else [
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": _SHARED_PROCESSORS,
            "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_RENDERERS],
        }
    },
    "filters": {
        # A probe that answers "not yet" is an answer, not a fault.
        "no_probes": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: "/readyz" not in record.args,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.request": {"filters": ["no_probes"]},
        "django.server": {"handlers": [], "propagate": True},
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
    },
}
structlog.configure(
    processors=[
        *_SHARED_PROCESSORS[:-2],
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
