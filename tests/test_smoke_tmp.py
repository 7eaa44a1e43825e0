import pytest


def test_web_role(db, owner_sql, as_role):
    from django.db import connection

    with connection.cursor() as c:
        c.execute("select current_user")
        assert c.fetchone() == ("portal_web",)
    with as_role("staff") as c:
        assert c.execute("select current_user").fetchone() == ("portal_staff",)
    assert owner_sql("select current_user") == [("portal_owner",)]


def test_b(django_as):
    from django.db import connection

    with django_as("worker"), connection.cursor() as c:
        c.execute("select current_user")
        assert c.fetchone() == ("portal_worker",)


def test_live(live):
    import urllib.request

    print(urllib.request.urlopen(live + "/readyz").read())
