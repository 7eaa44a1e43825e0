"""Somebody at a browser without JavaScript: follows links, fills in the forms that a page really has, keeps cookies."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx
from lxml import html

from portal.demo.accounts import DEMO_PASSWORD

CODE = re.compile(r"(?:验证码|Your code is) (\d{6})\b")
"""As a person finds it in the message: a reference has six digits too."""


@dataclass(frozen=True)
class Page:
    """A page as it came. `text` is what a reader sees, white space folded."""

    url: str
    response: httpx.Response
    document: html.HtmlElement

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def text(self) -> str:
        main = self.document.find(".//main")
        return " ".join((self.document if main is None else main).text_content().split())

    def form(self, action: str = "", *, field: str = "") -> html.FormElement:
        """The form whose address contains `action` and that has `field`; there must be exactly one."""
        found = [
            form
            for form in self.document.forms
            if action in (form.get("action") or self.path)
            and (not field or field in form.fields)
            and not (form.get("action") or "").endswith(("/language/", "/display/", "/sign-out/"))
        ]
        assert len(found) == 1, f"{len(found)} forms with {action!r} {field!r} on {self.path}: {self.text[:600]}"
        return found[0]

    def link(self, text: str) -> str:
        """The address of the link with this text."""
        found = [
            link.get("href", "") for link in self.document.iter("a") if text in " ".join(link.text_content().split())
        ]
        assert found, f"no link {text!r} on {self.path}"
        return found[0]


class Visitor:
    """One browser profile at the portal."""

    def __init__(self, base_url: str) -> None:
        self.client = httpx.Client(base_url=base_url, follow_redirects=True, timeout=60)

    def visit(self, address: str) -> Page:
        return self._page(self.client.get(address))

    def send(self, page: Page, form: html.FormElement, values: Mapping[str, str | Sequence[str]] | None = None) -> Page:
        """Send a form as it stands on the page, with some of its fields answered. A field it does not have fails."""
        answers = dict(values or {})
        unknown = (
            set(answers)
            - {name for name in form.fields if name}
            - {button.get("name") for button in form.iter("button")}
        )
        assert not unknown, f"{page.path} has no field {unknown}; it has {sorted(form.fields.keys())}"
        data = [(name, value) for name, value in form.form_values() if name not in answers]
        for name, answer in answers.items():
            data += [(name, value) for value in ([answer] if isinstance(answer, str) else answer)]
        names = dict.fromkeys(name for name, _ in data)
        body = {name: [value for key, value in data if key == name] for name in names}
        address = urljoin(page.url, form.get("action") or page.url)
        return self._page(self.client.post(address, data=body, headers={"Referer": page.url}))

    def sign_in(self, login: str) -> Page:
        page = self.visit("/sign-in/")
        # The demo's page also has a button for each person; the walk types, as everybody else does.
        (typed,) = page.document.xpath("//form[.//input[@type='password']]")
        page = self.send(page, typed, {"login": login, "password": DEMO_PASSWORD})
        if "code" in page.path:
            page = self.send(page, page.form(field="code"), {"code": self.staff_code(login)})
        assert "sign-in" not in page.path, page.text[:400]
        return page

    def staff_code(self, login: str) -> str:
        """The code that the outbox page shows for a member of staff."""
        rows = self.visit("/outbox/").document.xpath("//section[@id='staff']//tbody/tr")
        cells = [[" ".join(cell.text_content().split()) for cell in row] for row in rows]
        (code,) = [code for _, number, code in cells if number == login]
        return str(code)

    def newest_code(self) -> str:
        """The newest one-time code of the outbox page, as the person would read it from their phone."""
        text = self.visit("/outbox/").document.get_element_by_id("sent").text_content()
        found = CODE.search(text)
        assert found, text[:400]
        return found.group(1)

    def _page(self, response: httpx.Response) -> Page:
        content = response.content if "html" in response.headers.get("content-type", "") else b"<html></html>"
        page = Page(str(response.url), response, html.fromstring(content or b"<html></html>"))
        assert response.status_code < 400, f"{response.status_code} at {response.url}: {page.text[:800]}"
        return page
