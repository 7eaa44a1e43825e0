"""Drafts a data map from a live schema: what its keys and names make plain, and a TODO for what only people know.

A draft is conservative: a category or a retention class is guessed from whole words of a name, a trigger only from a
column that says so, and what only a reference upwards leads to (a product, a district) stays outside the governance.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import yaml

from rights.connectors.sqlcatalog import LiveColumn, LiveReference, LiveSchema, LiveTable
from rights.datamap.parse import GOVERNANCE

TODO = "TODO"

_CATEGORIES: tuple[tuple[str, str], ...] = (
    # The first that fits wins, so the narrow ones come first.
    ("id_number|id_no|id_card|idcard|identity_no|national_id|身份证号?|证件号码?",
     "user.government_id.national_identification_number"),
    ("passport|passport_no|护照号?", "user.government_id.passport_number"),
    ("email|e_mail|mail|邮箱|电子邮件", "user.contact.email"),
    ("phone|mobile|telephone|tel|cellphone|手机号?|电话|联系电话", "user.contact.phone_number"),
    ("address|addr|street|地址|住址", "user.contact.address"),
    ("postcode|postal_code|zip|zip_code|邮编", "user.contact.address.postal_code"),
    ("bank_card|card_no|card_number|卡号|银行卡号?", "user.financial.bank_account"),
    ("iban|bank_account|银行账号", "user.financial.bank_account"),
    ("credit_card", "user.financial.credit_card"),
    ("birth_date|birthday|date_of_birth|dob|born_on|出生日期|生日", "user.demographic.date_of_birth"),
    ("gender|sex|性别", "user.demographic.gender"),
    ("ethnicity|民族", "user.demographic.race_ethnicity"),
    ("marital_status|婚姻状况", "user.demographic.marital_status"),
    ("full_name|real_name|name|姓名", "user.name"),
    ("first_name|given_name|名字", "user.name.first"),
    ("last_name|surname|family_name|姓", "user.name.last"),
    ("nickname|username|user_name|login|昵称|用户名", "user.account.username"),
    ("password|password_hash|密码", "user.authorization.password"),
    ("ip|ip_address|ip地址", "user.device.ip_address"),
    ("imei|oaid|device_id|设备号", "user.device.device_id"),
    ("cookie|cookie_id", "user.device.cookie_id"),
    ("face|fingerprint|人脸|指纹", "user.biometric"),
    ("diagnosis|medical_record|病历|诊断", "user.health_and_medical"),
    ("latitude|longitude|lat|lng|经度|纬度", "user.location.precise"),
    ("occupation|job|job_title|职业", "user.job_title"),
    ("employer|company|工作单位", "user.workplace"),
    ("salary|income|balance|收入|余额", "user.financial"),
)  # fmt: skip
_PERSON_ONLY = frozenset({"user.name", "user.workplace"})
"""What `name` and `company` mean only in the table of a person: a product has a name as well."""

_CLASSES: tuple[tuple[str, str, str], ...] = (
    # words of a table's name, the class, words of the column that starts the period
    ("customer|client|real_name|kyc|客户|实名", "KYC", "closed_on|closed_at|ended_on|ended_at|注销日期|销户日期"),
    ("trans|transaction|payment|transfer|repayment|交易|支付|转账|还款", "TXN",
     "date|transaction_date|paid_on|paid_at|posted_at|posted_on|settled_on|settled_at|交易日期|支付日期"),
    ("loan|贷款|借款", "LOAN", "settled_on|settled_at|ends_on|ended_on|结清日期"),
    ("insurance_policy|保单", "INS", "ended_on|ends_on|cover_to|终止日期"),
    ("login_log|access_log|audit_log|risk_log|登录日志|日志", "LOG", "at|created_at|logged_at|创建时间"),
)  # fmt: skip
_IDENTITIES = {"account_no": "account_no", "id_number": "id_number", "账号": "account_no", "身份证号": "id_number"}
"""Names of unique columns that hold what the portal knows a person by."""


@dataclass(frozen=True)
class Draft:
    """`documents` by name, as a map's folder holds them; `todo` says what a person still has to decide."""

    documents: Mapping[str, str]
    todo: tuple[str, ...]


class NoIdentity(ValueError):
    """No column of the schema is known to hold a person's identity, so nothing can be reached."""


def draft_map(live: LiveSchema, *, system: str, identities: Mapping[tuple[str, str], str]) -> Draft:
    """`identities` maps (table, column) to the kind of identity. Raises NoIdentity, or ValueError for a wrong one."""
    return _Drafter(live, system=system, identities=identities).draft()


class _Drafter:
    def __init__(self, live: LiveSchema, *, system: str, identities: Mapping[tuple[str, str], str]) -> None:
        self.live = live
        self.system = system
        self.tables = {
            name: table for name, table in live.tables.items() if not table.is_view and not table.is_partition
        }
        for table, column in identities:
            if table not in self.tables or column not in self.tables[table].columns:
                raise ValueError(f"{table}.{column} is no column of the schema {live.name}.")
        self.identities = dict(identities) or self._guess_identities()
        if not self.identities:
            raise NoIdentity(
                f"No column of the schema {live.name} is known to name a person."
                " Say which: --identity table.column=kind"
            )
        self.references = [
            reference
            for reference in live.references
            if reference.child != reference.parent
            and all(end[0] == live.name and end[1] in self.tables for end in (reference.child, reference.parent))
        ]
        self.upward: list[LiveReference] = []
        self.reached = self._walk()

    def draft(self) -> Draft:
        todo: list[str] = []
        governance = {
            "version": 1,
            "systems": {self.system: {"schema": self.live.name, "entity": self.system}},
            "edges": self._edges(),
            "collections": {f"{self.system}.{name}": self._govern(name, todo) for name in self.reached},
        }
        if not governance["edges"]:
            del governance["edges"]
        for reference in self.upward:
            where = f"{reference.child[1]}.{','.join(reference.columns)}"
            todo.append(
                f"edges: {reference.parent[1]} is reached through {where}; say with `when` whose rows it leads to."
            )
        outside = [name for name in self.tables if name not in self.reached]
        if outside:
            todo.append(f"Not reached from an identity, and left out: {', '.join(outside)}.")
        dataset = {
            "dataset": [
                {
                    "fides_key": self.system,
                    "name": self.system,
                    "collections": [
                        {"name": name, "fields": [self._field(name, column) for column in table.columns.values()]}
                        for name, table in self.tables.items()
                    ],
                }
            ]
        }
        head = "".join(f"# {line}\n" for line in ("A draft from the live schema; nothing of it is law yet.", *todo))
        documents = {GOVERNANCE: head + _dump(governance), f"datasets/{self.system}.yml": _dump(dataset)}
        return Draft(documents, tuple(todo))

    def _guess_identities(self) -> dict[tuple[str, str], str]:
        return {
            (table.name, column): _IDENTITIES[column]
            for table in self.tables.values()
            for column in table.columns
            if column in _IDENTITIES and any(index.unique and index.columns == (column,) for index in table.indexes)
        }

    def _walk(self) -> list[str]:
        """Tables by their distance from an identity: down the keys, upwards only where the name says whose it is."""
        reached = list(dict.fromkeys(table for table, _ in self.identities))
        while True:
            for name in reached:  # grows while it is walked
                reached += [
                    item.child[1] for item in self.references if item.parent[1] == name and item.child[1] not in reached
                ]
            up = next(
                (
                    item
                    for item in self.references
                    if item.child[1] in reached and item.parent[1] not in reached and self._is_a_persons(item.parent[1])
                ),
                None,
            )
            if up is None:
                return list(dict.fromkeys(reached))
            self.upward.append(up)
            reached.append(up.parent[1])

    def _is_a_persons(self, name: str) -> bool:
        return bool(_guess_class(name)) or _has_word(name, "account|contract|账户|合同")

    def _field(self, name: str, column: LiveColumn) -> dict[str, Any]:
        table = self.tables[name]
        meta: dict[str, Any] = {}
        if column.name in table.primary_key:
            meta["primary_key"] = True
        if kind := self.identities.get((name, column.name)):
            meta["identity"] = kind
        references = [
            {
                "dataset": self.system,
                "field": f"{item.parent[1]}.{item.parent_columns[0]}",
                "direction": "to" if item in self.upward else "from",
            }
            for item in self.references
            if item.child[1] == name and item.columns == (column.name,)
        ]
        if references:
            meta["references"] = references
        body: dict[str, Any] = {"name": column.name}
        if category := _guess_category(column.name, is_person=bool(self._is_about_a_person(table))):
            body["data_categories"] = [category]
        if meta:
            body["fides_meta"] = meta
        return body

    def _is_about_a_person(self, table: LiveTable) -> bool:
        return any(name == table.name for name, _ in self.identities) or _guess_class(table.name) == "KYC"

    def _edges(self) -> list[dict[str, Any]]:
        """What Fides has no word for: keys of several columns, and the reference at which a circle is cut."""
        ways = []
        for item in self.references:
            child, parent = (item.child[1], item.columns), (item.parent[1], item.parent_columns)
            if {child[0], parent[0]} <= set(self.reached):
                ways.append((child, parent) if item in self.upward else (parent, child))
        # Those that lead away from the person come first, so that a circle is cut on its way back.
        ways.sort(key=lambda way: self.reached.index(way[0][0]) >= self.reached.index(way[1][0]))
        kept: dict[str, set[str]] = {}
        edges = []
        for (source, source_columns), (target, target_columns) in ways:
            is_circle = _leads_to(kept, target, source)
            if not is_circle:
                kept.setdefault(source, set()).add(target)
            if is_circle or len(source_columns) > 1:
                edge = {"from": self._names(source, source_columns), "to": self._names(target, target_columns)}
                edges.append({**edge, "follow": False} if is_circle else edge)
        return edges

    def _names(self, table: str, columns: Sequence[str]) -> str | list[str]:
        names = [f"{self.system}.{table}.{column}" for column in columns]
        return names if len(names) > 1 else names[0]

    def _govern(self, name: str, todo: list[str]) -> dict[str, Any]:
        table = self.tables[name]
        data_class = _guess_class(name)
        if data_class is None:
            todo.append(f"collections.{self.system}.{name}.class: say which; none needs its basis.")
        if not table.primary_key:
            todo.append(f"{self.system}.{name} has no key: mark the fields that name a record as its primary_key.")
        return {
            "class": data_class or TODO,
            "trigger": _guess_trigger(table) if data_class else None,
            "erase": {"method": "delete"},
        }


def _leads_to(ways: Mapping[str, set[str]], start: str, end: str) -> bool:
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name == end:
            return True
        if name not in seen:
            seen.add(name)
            waiting += ways.get(name, ())
    return False


def _dump(content: Mapping[str, Any]) -> str:
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120)


def _has_word(name: str, words: str) -> bool:
    """Whether one of the words stands in the name whole: between underscores, or as the hump of a camel."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return re.search(rf"(?:^|_)(?:{words})s?(?:_|$)", plain) is not None


def _is_word(name: str, words: str) -> bool:
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return re.fullmatch(words, plain) is not None


def _guess_category(column: str, *, is_person: bool) -> str | None:
    for words, category in _CATEGORIES:
        if _is_word(column, words):
            return category if is_person or category not in _PERSON_ONLY else None
    return None


def _guess_class(table: str) -> str | None:
    found: Iterable[str] = (data_class for words, data_class, _ in _CLASSES if _is_word(table, f"(?:{words})s?"))
    return next(iter(found), None)


def _guess_trigger(table: LiveTable) -> str | None:
    """A day column whose name says that the period starts there; without one a hold has no end yet, which is safe."""
    words: Sequence[str] = [words for _, data_class, words in _CLASSES if data_class == _guess_class(table.name)]
    for column in table.columns.values():
        if isinstance(column.type, sa.Date | sa.DateTime) and any(_is_word(column.name, each) for each in words):
            return column.name
    return None
