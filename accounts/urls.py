from django.urls import path

from accounts import web

app_name = "accounts"

urlpatterns = [
    path("sign-in/", web.sign_in, name="sign-in"),
    path("sign-in/code/", web.totp, name="totp"),
    path("sign-out/", web.sign_out, name="sign-out"),
    path("language/", web.language, name="language"),
    path("me/", web.me, name="me"),
    path("me/mandates/<int:pk>/end/", web.end_mandate, name="end-mandate"),
]
