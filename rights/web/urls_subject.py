"""Addresses of a person's pages."""

from django.urls import URLPattern, URLResolver, path, register_converter

from rights.kernel.states import Kind
from rights.web import (
    appeals,
    asking,
    consents,
    disowning,
    following,
    for_others,
    home,
    packages,
    receipts,
    unproved,
    verify,
)

app_name = "rights"


class KindConverter:
    """One of the five kinds; any other word is not found."""

    regex = "[a-z]+"

    def to_python(self, value: str) -> Kind:
        return Kind(value)

    def to_url(self, value: str | Kind) -> str:
        return Kind(value).value


register_converter(KindConverter, "kind")

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    path("companies/<str:key>/", home.company, name="company"),
    path("rights/<kind:kind>/", asking.right, name="right"),
    path("rights/<kind:kind>/plan/", asking.plan, name="plan"),
    path("rights/<kind:kind>/start/", asking.start, name="start"),
    path("for/<uuid:pk>/", for_others.rights_for, name="for"),
    path("for/<uuid:pk>/<kind:kind>/", unproved.file_unproved, name="file_unproved"),
    path("ask/<uuid:pk>/", asking.form, name="form"),
    path("ask/<uuid:pk>/check/", asking.check, name="check"),
    path("ask/<uuid:pk>/code/", asking.stepup, name="stepup"),
    path("ask/<uuid:pk>/code/again/", asking.resend, name="resend"),
    path("requests/<uuid:pk>/received/", asking.done, name="done"),
    path("requests/", following.requests, name="requests"),
    path("requests/<uuid:pk>/", following.request_page, name="request"),
    path("requests/<uuid:pk>/take-back/", following.take_back, name="withdraw"),
    path("not-me/<str:token>/", disowning.disown, name="disown"),
    path("requests/<uuid:pk>/due.ics", receipts.calendar_entry, name="calendar_entry"),
    path("requests/<uuid:pk>/answer/", following.answer, name="answer"),
    path("requests/<uuid:pk>/messages/", following.post_message, name="message"),
    path("requests/<uuid:pk>/files/<uuid:file>/", following.attachment, name="attachment"),
    path("requests/<uuid:pk>/appeal/", appeals.appeal, name="appeal"),
    path("requests/<uuid:pk>/fee/", following.fee, name="fee"),
    path("requests/<uuid:pk>/package/", packages.package, name="package"),
    path("requests/<uuid:pk>/package/download/", packages.package_download, name="package_download"),
    path("requests/<uuid:pk>/package/<int:part>.zip", packages.package_file, name="package_file"),
    path("requests/<uuid:pk>/packages/<uuid:package>/revoke/", packages.package_revoke, name="package_revoke"),
    path("requests/<uuid:pk>/handover/", packages.handover, name="handover"),
    path("received/<str:token>/", packages.received, name="received"),
    path("received/<str:token>/copy.zip", packages.received_file, name="received_file"),
    path("requests/<uuid:pk>/receipt/", following.receipt, name="receipt"),
    path("requests/<uuid:pk>/receipts/<uuid:number>/", receipts.signed_receipt, name="signed_receipt"),
    path("requests/<uuid:pk>/receipts/<uuid:number>/file/", receipts.receipt_file, name="receipt_file"),
    path("requests/<uuid:pk>/receipts/<uuid:number>/key/", receipts.receipt_secret, name="receipt_secret"),
    path("verify/", verify.verify, name="verify"),
    path("verify/verify_receipt.py", verify.script, name="verify_script"),
    path("verify/heads/<int:number>.json", verify.head, name="head"),
    path("verify/heads/<int:old>-<int:new>.json", verify.extension, name="extension"),
    path(".well-known/did.json", verify.keys, name="keys"),
    path("status/", verify.status, name="status"),
    path("consents/", consents.consents, name="consents"),
    path("consents/confirm/", consents.confirm, name="consent_confirm"),
    path("consents/end/", consents.end, name="consent_end"),
    path("consents/give/", consents.give, name="consent_give"),
    path("consents/answer/", consents.answer, name="consent_answer"),
    path("consents/sharing/", consents.sharing, name="consent_sharing"),
    path("consents/permissions/", consents.permissions, name="permissions"),
    path("consents/policies/", consents.policies, name="policies"),
    path(".well-known/gpc.json", consents.gpc, name="gpc"),
    path("notices/", following.notices, name="notices"),
    path("notices/<int:pk>/", following.notice, name="notice"),
    path("held/", following.held, name="held"),
    path("complaints/", following.channels, name="channels"),
    path("styleguide/", following.styleguide, name="styleguide"),
    path("display/", following.display, name="display"),
]
