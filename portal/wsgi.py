"""The web process. It signs in to the database as the web role, which sees the signed-in person's rows only."""

import os
from threading import Thread

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
os.environ.setdefault("PORTAL_ROLE", "web")

application = get_wsgi_application()

from portal.core import clock  # noqa: E402 - models can be imported only now
from rights.records import warm_systems  # noqa: E402

# The first look at a business system reads its schema, which can take longer than a person should wait.
Thread(target=warm_systems, kwargs={"now": clock.now()}, name="warm", daemon=True).start()
