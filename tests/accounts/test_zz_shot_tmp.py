import pytest
from django.test import Client
from tests.accounts.people import *
from tests.conftest import collect_static
def test_shot(db,django_as,tmp_path):
    collect_static()
    from django.conf import settings
    c=Client()
    out={}
    out["signin"]=c.get("/sign-in/?next=/me/").content.decode()
    out["signin_en"]=Client(headers={"accept-language":"en"}).get("/sign-in/").content.decode()
    out["signin_bad"]=c.post("/sign-in/",{"login":"1","password":""}).content.decode()
    out["signin_wrong"]=c.post("/sign-in/",{"login":"1","password":"x"}).content.decode()
    u=make_user(django_as,role="support")
    from accounts import totp
    from portal.core import clock
    with django_as("owner"): d=totp.enrol(user=u,now=clock.now())
    c.post("/sign-in/",{"login":u.account_no,"password":PASSWORD})
    out["totp_bad"]=c.post("/sign-in/code/",{"code":"123"}).content.decode()
    c=Client(); p=make_user(django_as)
    c.post("/sign-in/",{"login":p.account_no,"password":PASSWORD})
    out["me"]=c.get("/me/").content.decode()
    import shutil,pathlib
    o=pathlib.Path("/tmp/build/g2/shots");shutil.rmtree(o,ignore_errors=True);o.mkdir()
    shutil.copytree(settings.STATIC_ROOT,o/"static")
    for k,v in out.items(): (o/f"{k}.html").write_text(v.replace('"/static/','"static/'))
