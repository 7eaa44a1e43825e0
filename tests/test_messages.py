"""The words of the portal and their Chinese."""

import gettext
import json
from pathlib import Path

import polib
import pytest
from django.core.management import CommandError, call_command

from portal.management.commands import messages


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small house with one of each kind of words."""
    for folder in ("portal", "accounts", "rights", "templates/parts"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "rights" / "words.py").write_text(
        'from x import _, ngettext, pgettext\n_("Hello %(name)s")\n'
        'ngettext("%(n)d record", "%(n)d records", 2)\npgettext("verb", "Hold")\n'
    )
    (tmp_path / "templates" / "parts" / "page.html").write_text(
        '{% load i18n %}\n  <p>{% translate "It\'s done" %}</p>\n'
        "    {% blocktranslate trimmed with day=x %}\n   Due on\n   {{ day }}.\n  {% endblocktranslate %}\n"
    )
    catalogue = tmp_path / "portal" / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
    monkeypatch.setattr(messages, "BASE_DIR", tmp_path)
    monkeypatch.setattr(messages, "LOCALE_DIR", tmp_path / "portal" / "locale")
    monkeypatch.setattr(messages, "CATALOGUE", catalogue)
    return tmp_path


CHINESE: dict[str, str | list[str]] = {
    "Hello %(name)s": "%(name)s，你好",
    "%(n)d record": ["%(n)d 条记录"],
    "verb\x04Hold": "保留",
    "It's done": "已完成",
    "Due on %(day)s.": "截止日期：%(day)s。",
}


def merge(house: Path, translations: dict[str, str | list[str]]) -> None:
    path = house / "zh.json"
    path.write_text(json.dumps(translations))
    call_command("messages", merge=[path])


def test_words_of_code_and_templates_are_found(house: Path) -> None:
    found = messages.extract_messages()
    assert set(found) == set(CHINESE)
    assert found["%(n)d record"].plural == "%(n)d records"
    assert found["Due on %(day)s."].files == {"templates/parts/page.html"}


def test_translations_are_taken_in_kept_and_compiled(house: Path) -> None:
    merge(house, CHINESE)
    call_command("messages")
    call_command("messages", check=True)
    compiled = messages.CATALOGUE.with_suffix(".mo")
    with compiled.open("rb") as file:
        chinese = gettext.GNUTranslations(file)
    assert chinese.gettext("It's done") == "已完成"
    assert chinese.ngettext("%(n)d record", "%(n)d records", 2) == "%(n)d 条记录"
    assert chinese.pgettext("verb", "Hold") == "保留"


def test_words_without_their_chinese_are_listed_with_their_place(house: Path) -> None:
    with pytest.raises(CommandError, match=r"missing: \"It's done\" \(templates/parts/page.html\)"):
        merge(house, {key: value for key, value in CHINESE.items() if key != "It's done"})


def test_words_that_nobody_says_any_more_are_listed_and_then_dropped(house: Path) -> None:
    merge(house, CHINESE)
    (house / "rights" / "words.py").write_text("")
    with pytest.raises(CommandError, match="obsolete: 'Hello %\\(name\\)s'"):
        call_command("messages", check=True)
    call_command("messages")
    call_command("messages", check=True)


def test_a_doubtful_translation_is_listed(house: Path) -> None:
    merge(house, CHINESE)
    catalogue = polib.pofile(str(messages.CATALOGUE))
    entry = catalogue.find("It's done")
    assert entry is not None
    entry.flags.append("fuzzy")
    catalogue.save()
    with pytest.raises(CommandError, match="fuzzy"):
        call_command("messages", check=True)


@pytest.mark.parametrize(
    ("chinese", "words"),
    [("你好", "leaves out a value"), ("%(name)s，%(title)s", "names a value that the English does not")],
)
def test_a_translation_with_other_values_is_listed(house: Path, chinese: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        merge(house, {**CHINESE, "Hello %(name)s": chinese})


def test_every_word_of_the_portal_has_its_chinese() -> None:
    assert messages.find_faults(messages.extract_messages()) == []
