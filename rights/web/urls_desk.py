"""Addresses of the desk."""

from django.urls import URLPattern, URLResolver, path

from rights.web import desk, desk_appeals, desk_extras, desk_queue, desk_systems, desk_tasks, desk_thread

app_name = "desk"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", desk_queue.show_queue, name="queue"),
    path("search/", desk_queue.search, name="search"),
    path("cases/<uuid:pk>/", desk.case, name="case"),
    path("cases/<uuid:pk>/claim/", desk.claim, name="claim"),
    path("cases/<uuid:pk>/release/", desk.release, name="release"),
    path("cases/<uuid:pk>/decide/", desk.decide, name="decide"),
    path("cases/<uuid:pk>/undo/", desk.undo, name="undo"),
    path("cases/<uuid:pk>/fee/", desk_extras.quote_fee, name="quote_fee"),
    path("cases/<uuid:pk>/fee/waive/", desk_extras.waive_fee, name="waive_fee"),
    path("cases/<uuid:pk>/proof/", desk_extras.confirm_proof, name="confirm_proof"),
    path("cases/<uuid:pk>/package/revoke/", desk_extras.revoke_package, name="revoke_package"),
    path("cases/<uuid:pk>/messages/", desk_thread.post_message, name="message"),
    path("cases/<uuid:pk>/messages/read/", desk_thread.settle, name="settle"),
    path("cases/<uuid:pk>/files/<uuid:file>/", desk_thread.read_attachment, name="attachment"),
    path("cases/<uuid:pk>/appeal/", desk_appeals.decide, name="appeal_decide"),
    path("cases/<uuid:pk>/appeal/claim/", desk_appeals.claim, name="appeal_claim"),
    path("cases/<uuid:pk>/appeal/release/", desk_appeals.release, name="appeal_release"),
    path("cases/<uuid:pk>/relation/", desk_appeals.declare, name="relation"),
    path("tasks/", desk_tasks.show_tasks, name="tasks"),
    path("tasks/<uuid:pk>/", desk_tasks.task, name="task"),
    path("tasks/<uuid:pk>/claim/", desk_tasks.claim, name="task_claim"),
    path("tasks/<uuid:pk>/release/", desk_tasks.release, name="task_release"),
    path("tasks/<uuid:pk>/told/", desk_tasks.told, name="task_told"),
    path("tasks/<uuid:pk>/done/", desk_tasks.done, name="task_done"),
    path("tasks/<uuid:pk>/return/", desk_tasks.send_back, name="task_return"),
    path("tasks/<uuid:pk>/take-back/", desk_tasks.take_back, name="task_take_back"),
    path("tasks/<uuid:pk>/again/", desk_tasks.again, name="task_again"),
    path("tasks/<uuid:pk>/evidence/", desk_tasks.evidence, name="task_evidence"),
    path("evidence/<uuid:pk>/", desk_tasks.read_evidence, name="evidence"),
    path("steps/<int:pk>/retry/", desk.retry, name="retry"),
    path("systems/", desk_systems.show_systems, name="systems"),
    path("systems/<str:key>/stop/", desk_systems.stop, name="stop_system"),
    path("systems/<str:key>/resume/", desk_systems.resume, name="resume_system"),
]
