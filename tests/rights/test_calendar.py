"""Working days as data: imported whole, with their source, and never guessed."""

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation
from psycopg.errors import InsufficientPrivilege

from accounts.models import User
from portal.core.clock import SHANGHAI
from rights.actions.calendar import CannotSet, FaultyCalendar, YearData, import_year, read_csv, read_json, set_limit
from rights.kernel.states import Kind
from rights.models import CalendarYear, KindLimit, Notice, Request
from rights.queries import due_if_filed, due_of, limit_of, load_calendar
from tests.rights.shop import NOW, Shop
from tests.stack import BASE_DIR

pytestmark = pytest.mark.role("owner")


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    with translation.override("en"):
        yield


SHIPPED = BASE_DIR / "rights" / "calendars" / "2026.json"
SOURCE = "a notice"


def at(month: int, day: int, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, 9, tzinfo=SHANGHAI)


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_user(
        account_no="900009", password=None, display_name="管理员", role="admin", email="admin@mail.example", now=NOW
    )


def year_of(number: int, *, off: tuple[str, ...] = (), work: tuple[str, ...] = ()) -> YearData:
    return YearData(year=number, days_off=[f"{number}-01-01", *off], make_up=list(work), source=SOURCE)


def document(**changes: Any) -> str:
    return json.dumps({"year": 2026, "source": SOURCE, "days_off": ["2026-10-01"], "make_up": [], **changes})


# --- files


def test_the_shipped_year_is_the_official_notices() -> None:
    """The notice of the State Council's office of 2025-11-04, by its figures: 3, 9, 3, 5, 3, 3 and 7 days off."""
    year = read_json(SHIPPED.read_text(encoding="utf-8"))
    assert year.year == 2026
    assert len(year.days_off) == 3 + 9 + 3 + 5 + 3 + 3 + 7
    weekdays = [date.fromisoformat(day).strftime("%m-%d %a") for day in year.make_up]
    assert weekdays == ["01-04 Sun", "02-14 Sat", "02-28 Sat", "05-09 Sat", "09-20 Sun", "10-10 Sat"]
    ends = {"01-01", "01-03", "02-15", "02-23", "04-04", "04-06", "05-01", "05-05", "06-19", "06-21", "09-25", "09-27"}
    assert {f"2026-{day}" for day in ends | {"10-01", "10-07"}} <= set(year.days_off)
    assert not {"2026-01-04", "2026-02-14", "2026-02-24", "2026-05-06", "2026-10-08"} & set(year.days_off)


def test_a_period_is_each_of_its_days() -> None:
    year = read_json(document(days_off=[{"from": "2026-09-30", "to": "2026-10-02", "name": "国庆节"}]))
    assert year.days_off == ["2026-09-30", "2026-10-01", "2026-10-02"]


def test_a_csv_file_says_the_same_in_lines() -> None:
    year = read_csv("\ufeffday,kind\n2026-10-01,off\n2026-10-10,work\n", year=2026, source=SOURCE)
    assert (year.days_off, year.make_up, year.source) == (["2026-10-01"], ["2026-10-10"], SOURCE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON: line 1"),
        ("[]", "must be an object"),
        (document(days_of=[]), "days_of is not a key"),
        (document(days_off="2026-10-01"), "days_off must be a list"),
        (document(days_off=["2026-10-01", "2026-10-01"]), "2026-10-01 is named twice"),
        (document(make_up=["2026-10-01"]), "2026-10-01 is named twice"),
        (document(days_off=["2027-10-01"]), "2027-10-01 is not in 2026"),
        (document(make_up=["2026-10-12"]), "2026-10-12 is no weekend day"),  # a Monday
        (document(days_off=["10/1"]), "10/1 is no day"),
        (document(days_off=["2026-02-30"]), "2026-02-30 is no day"),
        (document(days_off=[None]), "None is no day"),
        (document(days_off=[{"from": "2026-10-02", "to": "2026-10-01"}]), "no period"),
        (document(days_off=[{"from": "2026-01-01", "to": "2026-12-31"}]), "no period"),
        (document(days_off=[{"from": "2026-10-01"}]), "None is no day"),
        (document(days_off=[]), "2026 has no day off at all"),
        (document(year="2026"), "2026 is no year"),
        (document(year=True), "True is no year"),
        (document(year=26), "26 is no year"),
        (document(source=" "), "where the days come from"),
        (document(source=None), "where the days come from"),
    ],
)
def test_a_faulty_file_says_what_is_wrong_with_it(text: str, words: str) -> None:
    with pytest.raises(FaultyCalendar, match=words):
        read_json(text)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(FaultyCalendar) as faulty:
        read_json(document(days_off=["2027-10-01", "x"], make_up=["2026-10-12"], source=""))
    assert len(faulty.value.faults) == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("date,what\n2026-10-01,off\n", "columns: day,kind"),
        ("", "columns: day,kind"),
        ("day,kind\n2026-10-01,free\n", "Line 2: the kind is off or work, not free"),
        ("day,kind\n2026-10-01\n", "Line 2: the kind"),
        ("day,kind\n,off\n", "is no day"),
        ("day,kind\n", "no day off at all"),
    ],
)
def test_a_faulty_csv_file_says_what_is_wrong_with_it(text: str, words: str) -> None:
    with pytest.raises(FaultyCalendar, match=words):
        read_csv(text, year=2026, source=SOURCE)


# --- importing


def test_an_import_keeps_its_source_and_who_and_when(admin: User) -> None:
    import_year(year_of(2026), imported_by=admin, now=NOW)
    row = CalendarYear.objects.get()
    assert (row.year, row.source, row.imported_by, row.imported_at) == (2026, SOURCE, admin, NOW)
    assert not load_calendar().is_working(date(2026, 1, 1))


def test_the_newest_import_of_a_year_holds_and_the_earlier_one_stays_as_a_record(admin: User) -> None:
    import_year(year_of(2026), imported_by=admin, now=NOW)
    import_year(year_of(2027), imported_by=admin, now=NOW)
    import_year(year_of(2026, off=("2026-03-02",)), imported_by=admin, now=NOW + timedelta(days=1))
    known = load_calendar()
    assert set(known.years) == {2026, 2027}
    assert not known.is_working(date(2026, 3, 2))
    assert known.is_working(date(2027, 3, 2))
    assert CalendarYear.objects.count() == 3


@pytest.mark.parametrize("table", ["rights_calendaryear", "rights_kindlimit"])
@pytest.mark.parametrize("role", ["owner", "staff", "worker", "web"])
def test_nobody_changes_or_removes_what_was_imported_or_set(
    db: None, as_role: Callable[[str], Any], table: str, role: str
) -> None:
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET id = id"):
        with as_role(role) as connection, pytest.raises(InsufficientPrivilege):
            connection.execute(statement.encode())


@pytest.mark.parametrize("role", ["subject", "support", "supervisor", "auditor"])
def test_only_an_administrator_imports_a_year_or_sets_a_limit(db: None, role: str) -> None:
    user = User.objects.create_user(account_no="1", password=None, display_name="x", role=role, now=NOW)
    with pytest.raises(CannotSet, match="administrator"):
        import_year(year_of(2026), imported_by=user, now=NOW)
    with pytest.raises(CannotSet, match="administrator"):
        set_limit(Kind.ACCESS, days=10, working_days=False, effective_from=NOW.date(), set_by=user, now=NOW)
    assert not CalendarYear.objects.exists()


# --- the command


def test_the_command_imports_a_file_and_shows_what_is_known(
    admin: User, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "2027.csv"
    file.write_text("day,kind\n2027-01-01,off\n")
    call_command("calendar", "import", str(SHIPPED), "--by", "900009")
    call_command("calendar", "import", str(file), "--by", "900009", "--year", "2027", "--source", SOURCE)
    capsys.readouterr()
    call_command("calendar", "show", "--json")
    said = json.loads(capsys.readouterr().out)["years"]
    assert [(row["year"], row["days_off"], row["make_up"], row["imported_by"]) for row in said] == [
        (2026, 33, 6, "管理员"),
        (2027, 1, 0, "管理员"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "options", "words"),
    [
        ("x.json", document(days_off=["2027-01-01"]), ["--by", "900009"], "2027-01-01 is not in 2026"),
        ("x.json", document(), ["--by", "900000"], "no such account"),
        ("x.csv", "day,kind\n2026-01-01,off\n", ["--by", "900009"], "--year and --source"),
        ("x.txt", document(), ["--by", "900009"], ".json or .csv"),
        ("", "", ["--by", "900009"], "cannot be read"),
    ],
)
def test_the_command_refuses_a_faulty_file_and_changes_nothing(
    admin: User, tmp_path: Path, name: str, text: str, options: list[str], words: str
) -> None:
    if name:
        (tmp_path / name).write_text(text)
    with pytest.raises(CommandError, match=words):
        call_command("calendar", "import", str(tmp_path / name), *options)
    assert not CalendarYear.objects.exists()


# --- limits by kind


def test_a_limit_holds_from_its_day_on_and_for_its_kind_alone(admin: User) -> None:
    today = NOW.date()
    assert (limit_of(Kind.ACCESS, on=today).days, limit_of(Kind.ACCESS, on=today).working_days) == (15, False)
    set_limit(Kind.ACCESS, days=10, working_days=True, effective_from=date(2026, 12, 1), set_by=admin, now=NOW)
    set_limit(Kind.ACCESS, days=7, working_days=False, effective_from=date(2026, 12, 10), set_by=admin, now=NOW)
    days = [date(2026, 11, 30), date(2026, 12, 1), date(2026, 12, 9), date(2026, 12, 10)]
    found = [limit_of(Kind.ACCESS, on=day) for day in days]
    assert [(limit.days, limit.working_days) for limit in found] == [(15, False), (10, True), (10, True), (7, False)]
    assert limit_of(Kind.DELETION, on=date(2026, 12, 10)).days == 15
    set_limit(Kind.ACCESS, days=8, working_days=False, effective_from=date(2026, 12, 10), set_by=admin, now=NOW)
    assert limit_of(Kind.ACCESS, on=date(2026, 12, 10)).days == 8, "of two of one day the newer holds"
    assert KindLimit.objects.count() == 3


@pytest.mark.parametrize(
    ("days", "effective_from", "words"),
    [(0, NOW.date(), "1 to 30"), (31, NOW.date(), "1 to 30"), (-1, NOW.date(), "1 to 30"),
     (10, date(2026, 11, 22), "today or later")],
)  # fmt: skip
def test_a_limit_past_the_law_or_in_the_past_is_refused(
    admin: User, days: int, effective_from: date, words: str
) -> None:
    with pytest.raises(CannotSet, match=words):
        set_limit(Kind.ACCESS, days=days, working_days=False, effective_from=effective_from, set_by=admin, now=NOW)


def test_a_request_keeps_the_limit_it_was_filed_under(shop: Shop, admin: User) -> None:
    """Ten working days from Monday 2026-11-23 end on Monday 12-07; ten calendar days on 12-03."""
    shop.add_customer(1)
    shop.add_orders(date(2020, 1, 1))
    import_year(year_of(2026), imported_by=admin, now=NOW)
    set_limit(Kind.DELETION, days=10, working_days=True, effective_from=NOW.date(), set_by=admin, now=NOW)
    assert due_if_filed(Kind.DELETION, on=NOW.date()) == date(2026, 12, 7)
    request = shop.file()
    set_limit(Kind.DELETION, days=5, working_days=False, effective_from=NOW.date(), set_by=admin, now=NOW)
    assert due_of(shop.look(request), now=NOW).on == date(2026, 12, 7)
    assert request.notices.get(kind="received").params["due"] == "2026-12-07"
    assert due_of(shop.file(), now=NOW).on == date(2026, 11, 28)


def test_a_short_limit_is_watched_too(shop: Shop, admin: User) -> None:
    """Seven days from 2026-11-23 end on 11-30: warned of on 11-25 and 11-29, late from 12-01."""
    shop.add_customer(1)
    shop.add_orders(date(2020, 1, 1))
    set_limit(Kind.DELETION, days=7, working_days=False, effective_from=NOW.date(), set_by=admin, now=NOW)
    request = shop.file()
    for day in range(24, 31):
        shop.tick(at(11, day))
    warned = request.events.filter(kind="warned").order_by("at")
    assert [(event.at.astimezone(SHANGHAI).day, event.body["days"]) for event in warned] == [(25, 5), (29, 1)]
    shop.tick(at(12, 1))
    assert shop.look(request).breached_at == at(12, 1)


def test_the_legal_date_shown_beside_knows_the_calendar(shop: Shop, admin: User) -> None:
    """Case 3: filed Friday 2026-11-06, own limit Saturday 11-21, by law Monday 11-23 - unless that day is off."""
    shop.add_customer(1)
    shop.add_orders(date(2020, 1, 1))
    request = shop.file(now=at(11, 6))
    assert (due_of(request, now=NOW).on, due_of(request, now=NOW).rolled) == (date(2026, 11, 21), date(2026, 11, 23))
    import_year(year_of(2026, off=("2026-11-23",)), imported_by=admin, now=NOW)
    assert (due_of(request, now=NOW).on, due_of(request, now=NOW).rolled) == (date(2026, 11, 21), date(2026, 11, 24))
    import_year(year_of(2026, work=("2026-11-21",)), imported_by=admin, now=NOW)
    assert due_of(request, now=NOW).rolled is None, "a Saturday that is worked does not roll"


# --- a year that is missing


def alarms() -> list[str]:
    return sorted(Notice.objects.filter(kind="calendar_missing").values_list("params__year", flat=True))


def test_the_next_year_is_asked_for_from_october_on_once(shop: Shop, admin: User) -> None:
    import_year(year_of(2026), imported_by=admin, now=NOW)
    shop.tick(at(9, 30))
    assert alarms() == []
    for day in range(1, 5):
        shop.tick(at(10, day))
    assert alarms() == ["2027", "2027"], "the administrator and the supervisor, once each"
    assert set(Notice.objects.values_list("user", flat=True)) == {admin.pk, shop.second.pk}
    import_year(year_of(2027), imported_by=admin, now=NOW)
    shop.tick(at(1, 2, year=2027))
    assert alarms() == ["2027", "2027"]


def test_this_year_is_asked_for_at_once(shop: Shop) -> None:
    shop.tick(at(3, 1))
    assert alarms() == ["2026"]


def test_two_ticks_at_once_ask_for_a_year_once(shop: Shop) -> None:
    shop.in_threads(*[lambda: shop.tick(at(3, 1))] * 3)
    assert alarms() == ["2026"]


def test_working_days_of_a_year_that_is_not_known_count_the_stricter_way_until_it_is(shop: Shop, admin: User) -> None:
    """Twenty working days from 2026-12-21 need 2027; while that is not known they end with twenty calendar days."""
    shop.add_customer(1)
    shop.add_orders(date(2020, 1, 1))
    import_year(year_of(2026), imported_by=admin, now=NOW)
    set_limit(Kind.DELETION, days=20, working_days=True, effective_from=NOW.date(), set_by=admin, now=NOW)
    request: Request = shop.file(now=at(12, 21))
    due = due_of(request, now=at(12, 21))
    assert (due.on, due.missing_year) == (date(2027, 1, 10), 2027)
    import_year(year_of(2027), imported_by=admin, now=NOW)
    # 12-22 to 12-31 are eight working days, New Year is off, the twelfth after it is Tuesday 01-19.
    due = due_of(request, now=at(12, 22))
    assert (due.on, due.missing_year) == (date(2027, 1, 19), None)


def test_a_past_year_that_an_open_requests_count_needs_is_asked_for_too(shop: Shop, admin: User) -> None:
    shop.add_customer(1)
    shop.add_orders(date(2020, 1, 1))
    import_year(year_of(2027), imported_by=admin, now=NOW)
    shop.file(now=at(12, 21))
    shop.tick(at(1, 4, year=2027))
    assert alarms() == [], "calendar days need no calendar"
    set_limit(Kind.DELETION, days=20, working_days=True, effective_from=NOW.date(), set_by=admin, now=NOW)
    shop.file(now=at(12, 21))
    shop.tick(at(1, 4, year=2027))
    assert set(alarms()) == {"2026"}
