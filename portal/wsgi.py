"""The web process. It signs in to the database as the web role, which sees the signed-in person's rows only."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
os.environ.setdefault("PORTAL_ROLE", "web")

application = get_wsgi_application()
