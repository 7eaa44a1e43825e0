"""Addresses of the desk."""

from django.urls import URLPattern, URLResolver, path

from rights.web import desk

app_name = "desk"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", desk.show_queue, name="queue"),
    path("search/", desk.search, name="search"),
    path("cases/<uuid:pk>/", desk.case, name="case"),
    path("cases/<uuid:pk>/claim/", desk.claim, name="claim"),
    path("cases/<uuid:pk>/release/", desk.release, name="release"),
    path("cases/<uuid:pk>/decide/", desk.decide, name="decide"),
    path("cases/<uuid:pk>/undo/", desk.undo, name="undo"),
    path("steps/<int:pk>/retry/", desk.retry, name="retry"),
]
