"""Addresses of the REST interface."""

from django.urls import URLPattern, URLResolver, path, re_path
from drf_spectacular.views import SpectacularAPIView

from rights.api import callbacks, receipts, restrictions, staff, views

urlpatterns: list[URLPattern | URLResolver] = [
    path("schema/", SpectacularAPIView.as_view(), name="api-schema"),
    path("tokens/", views.TokensView.as_view(), name="api-tokens"),
    path("tokens/current/", views.CurrentTokenView.as_view(), name="api-token"),
    path("requests/", views.RequestsView.as_view(), name="api-requests"),
    path("requests/<uuid:pk>/", views.RequestView.as_view(), name="api-request"),
    path("requests/<uuid:pk>/code/", views.CodeView.as_view(), name="api-code"),
    path("requests/<uuid:pk>/submit/", views.SubmitView.as_view(), name="api-submit"),
    path("requests/<uuid:pk>/withdraw/", views.WithdrawView.as_view(), name="api-withdraw"),
    path("requests/<uuid:pk>/answer/", views.AnswerView.as_view(), name="api-answer"),
    path("requests/<uuid:pk>/fee/", views.FeeView.as_view(), name="api-fee"),
    path("requests/<uuid:pk>/receipts/", receipts.ReceiptsView.as_view(), name="api-receipts"),
    path("requests/<uuid:pk>/receipts/<uuid:number>/", receipts.ReceiptView.as_view(), name="api-receipt"),
    path("requests/<uuid:pk>/receipts/<uuid:number>/code/", receipts.ReceiptCodeView.as_view(), name="api-lookup"),
    path("verify/", receipts.VerifyView.as_view(), name="api-verify"),
    path("status/", receipts.StatusView.as_view(), name="api-status"),
    path("plan/", views.PlanView.as_view(), name="api-plan"),
    path("notices/", views.NoticesView.as_view(), name="api-notices"),
    path("desk/tasks/", staff.TasksView.as_view(), name="api-tasks"),
    path("desk/tasks/<uuid:pk>/", staff.TaskView.as_view(), name="api-task"),
    path("desk/tasks/<uuid:pk>/claim/", staff.ClaimView.as_view(), name="api-task-claim"),
    path("desk/tasks/<uuid:pk>/told/", staff.ToldView.as_view(), name="api-task-told"),
    path("desk/tasks/<uuid:pk>/done/", staff.DoneView.as_view(), name="api-task-done"),
    path("desk/tasks/<uuid:pk>/return/", staff.ReturnView.as_view(), name="api-task-return"),
    path("restricted/", restrictions.RestrictedView.as_view(), name="api-restricted"),
    path("callbacks/<str:party>/", callbacks.receive, name="api-callback"),
    re_path(r"^.*$", views.NothingHere.as_view(), name="api-nothing"),
]
