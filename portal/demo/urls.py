"""Addresses of the demo's own pages."""

from django.urls import path

from portal.demo import web

app_name = "demo"
urlpatterns = [
    path("outbox/", web.outbox, name="outbox"),
    path("outbox/clock/", web.move_clock, name="clock"),
    path("systems/", web.systems, name="systems"),
]
