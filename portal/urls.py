"""Every address of the portal."""

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path

from portal import health

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("", include("accounts.urls")),
    path("api/v1/", include("rights.api.urls")),
    path("desk/", include("rights.web.urls_desk")),
    path("", include("rights.web.urls_subject")),
]
if settings.DEMO:
    urlpatterns.append(path("", include("portal.demo.urls")))
