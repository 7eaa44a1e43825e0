"""The worker and beat processes. Tasks are woken by name; what they do is in `rights.tasks`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
os.environ.setdefault("PORTAL_ROLE", "worker")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["rights"])
# Celery's current app is per thread; without a default, web threads would send their tasks to no broker at all.
app.set_default()
