from django.apps import AppConfig

from portal.celery import app as celery_app

__all__ = ["PortalConfig", "celery_app"]


class PortalConfig(AppConfig):
    """Importing the Celery app here makes every process of the portal send its tasks to the same broker."""

    name = "portal"
    label = "portal"
