"""What a person types into the asking pages, bounded, with errors that say what to do."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.normal import normalise
from rights.records import Present
from rights.web.present import Forfeit

EVERYTHING, CHOSEN, ALL = "everything", "chosen", "all"
VALUE_LENGTH = 200
Choices = Sequence[tuple[str, str]]


class ScopeForm(forms.Form):
    """Everything, or chosen companies."""

    scope = forms.ChoiceField(
        label=_("How much"),
        choices=((EVERYTHING, EVERYTHING), (CHOSEN, CHOSEN)),
        error_messages={"required": _("Choose one of the two.")},
    )
    companies = forms.MultipleChoiceField(label=_("Which companies"), required=False)

    def __init__(self, data: Any = None, *, companies: Iterable[str], entities: Iterable[str] | None = None) -> None:
        """`entities`: the answer so far; None where nothing was answered yet, empty for everything."""
        initial = {} if entities is None else {"scope": EVERYTHING, "companies": []}
        if chosen := list(entities or ()):
            initial = {"scope": CHOSEN, "companies": chosen}
        super().__init__(data, initial=initial)
        _choices(self, "companies", [(key, key) for key in companies])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("scope") == CHOSEN and not cleaned.get("companies") and "companies" not in self.errors:
            self.add_error("companies", _("Choose at least one company, or everything."))
        return cleaned

    @property
    def entities(self) -> list[str]:
        """The answer as a request keeps it: empty for everything."""
        return [] if self.cleaned_data["scope"] == EVERYTHING else list(self.cleaned_data["companies"])


class PurposesForm(forms.Form):
    """The uses to stop."""

    purposes = forms.MultipleChoiceField(
        label=_("Uses you agreed to"), error_messages={"required": _("Choose at least one use to stop.")}
    )

    def __init__(self, data: Any = None, *, purposes: Iterable[str], chosen: Iterable[str] = ()) -> None:
        super().__init__(data, initial={"purposes": list(chosen)})
        _choices(self, "purposes", [(key, key) for key in purposes])


class CancellationForm(forms.Form):
    """One service, or all; what lapses with it is given up expressly."""

    service = forms.ChoiceField(
        label=_("Service"), error_messages={"required": _("Choose the service to end, or all of them.")}
    )
    forfeits = forms.MultipleChoiceField(label=_("This would lapse"), required=False)
    waived = forms.MultipleChoiceField(label=_("You may give this up"), required=False)

    def __init__(
        self,
        data: Any = None,
        *,
        services: Iterable[str],
        forfeits: Sequence[Forfeit],
        waivable: Sequence[Forfeit] = (),
        service: str = "",
        confirmed: Iterable[str] = (),
        waived: Iterable[str] = (),
    ) -> None:
        super().__init__(data, initial={"service": service, "forfeits": list(confirmed), "waived": list(waived)})
        self.lapsing = forfeits
        self.waivable = waivable
        _choices(self, "service", [(ALL, ALL), *((key, key) for key in services)])
        _choices(self, "forfeits", [(forfeit.key, forfeit.label) for forfeit in forfeits])
        _choices(self, "waived", [(item.key, item.label) for item in waivable])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        service = cleaned.get("service")
        given_up = set(cleaned.get("forfeits") or ())
        for forfeit in self.lapsing:
            if service in (ALL, forfeit.entity) and forfeit.key not in given_up:
                text = _("%(what)s: tick it if you give it up, or use it up first.")
                self.add_error("forfeits", ValidationError(text, params={"what": forfeit.label}))
        return cleaned

    @property
    def given_up(self) -> list[str]:
        """Only what the chosen service costs: a tick beside another service is not an answer."""
        return self._of_service(self.lapsing, "forfeits")

    @property
    def waived_keys(self) -> list[str]:
        """What would defer it and is expressly waived; nothing is where no box was ticked."""
        return self._of_service(self.waivable, "waived")

    def _of_service(self, offered: Sequence[Forfeit], field: str) -> list[str]:
        service, chosen = self.cleaned_data["service"], self.cleaned_data[field]
        return [item.key for item in offered if item.key in chosen and service in (ALL, item.entity)]


@dataclass(frozen=True)
class Recorded:
    """One distinct value that can be corrected, with every place where it stands."""

    name: str
    correction: str
    value: str
    collections: tuple[str, ...]


def group_recorded(found: Iterable[Present]) -> list[Recorded]:
    """By distinct value; the field's name is the same in every request that finds the same value."""
    places: dict[tuple[str, str], list[str]] = {}
    for item in found:
        places.setdefault((item.correction, item.value), []).append(item.collection)
    return [
        Recorded(
            name=f"{correction}-{hashlib.sha256(value.encode()).hexdigest()[:16]}",
            correction=correction,
            value=value,
            collections=tuple(dict.fromkeys(collections)),
        )
        for (correction, value), collections in places.items()
    ]


class CorrectionForm(forms.Form):
    """A new value beside each recorded one; an empty field leaves it as it is."""

    def __init__(
        self, data: Any = None, *, recorded: Sequence[Recorded], labels: Mapping[str, str],
        items: Iterable[Mapping[str, str]] = (),
    ) -> None:  # fmt: skip
        given = {(item["correction"], item["old"]): item["new"] for item in items}
        super().__init__(data, initial={item.name: given.get((item.correction, item.value), "") for item in recorded})
        self.recorded = recorded
        for item in recorded:
            self.fields[item.name] = forms.CharField(
                label=gettext("New value: %(what)s") % {"what": labels.get(item.correction, item.correction)},
                required=False,
                max_length=VALUE_LENGTH,
                widget=forms.TextInput(_ATTRIBUTES.get(item.correction, {"autocomplete": "off"})),
            )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for item in self.recorded:
            value = str(cleaned.get(item.name) or "")
            if not value:
                continue
            try:
                cleaned[item.name] = clean_value(item.correction, value)
            except ValidationError as error:
                self.add_error(item.name, error)
                continue
            if cleaned[item.name] == item.value:
                self.add_error(item.name, _("This is what is recorded already."))
        if not self.errors and not any(cleaned.get(item.name) for item in self.recorded):
            raise ValidationError(_("Fill in at least one new value."))
        return cleaned

    @property
    def items(self) -> list[dict[str, str]]:
        """The answer as a request keeps it."""
        return [
            {"correction": item.correction, "old": item.value, "new": self.cleaned_data[item.name]}
            for item in self.recorded
            if self.cleaned_data.get(item.name)
        ]


_ATTRIBUTES: Mapping[str, dict[str, str]] = {
    "phone": {"autocomplete": "tel", "inputmode": "tel"},
    "email": {"autocomplete": "email", "inputmode": "email", "spellcheck": "false", "autocapitalize": "none"},
    "id_number": {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "characters"},
    "name": {"autocomplete": "name", "spellcheck": "false"},
    "address": {"autocomplete": "street-address"},
}


def clean_value(correction: str, value: str) -> str:
    """The value as it is to be written. Raises ValidationError that says what is wrong with it."""
    match correction:
        case "phone":
            value = normalise("phone", value)
            if not re.fullmatch(r"1\d{10}", value, re.ASCII):
                raise ValidationError(_("A mobile number has 11 digits and begins with 1."))
        case "email":
            value = value.strip()
            EmailValidator(_("An email address looks like name@example.com."))(value)
        case "id_number":
            value = normalise("id_number", value)
            if not is_id_number(value):
                raise ValidationError(_("This ID number is not valid. Compare all 18 characters with the document."))
        case "name":
            value = normalise("name", value)
            if len(value) < 2 or re.search(r"\d", value):
                raise ValidationError(_("Write the name as it stands on the ID document."))
        case "address":
            value = " ".join(value.split())
            if len(value) < 5:
                raise ValidationError(_("Write the whole address, down to the house number."))
    return value


_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def is_id_number(value: str) -> bool:
    """Whether it is a citizen identification number by GB 11643: a real birthday and the check character."""
    if not re.fullmatch(r"[1-9]\d{16}[\dX]", value, re.ASCII):
        return False
    try:
        date(int(value[6:10]), int(value[10:12]), int(value[12:14]))
    except ValueError:
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, value[:17], strict=True))
    return "10X98765432"[total % 11] == value[17]


class CheckForm(forms.Form):
    """What was shown is what is sent: `seen` is the digest of the answers on the page."""

    seen = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, seen: str, understood: str = "") -> None:
        """`understood`: what the person has to tick where it cannot be undone; empty where it can."""
        super().__init__(data, initial={"seen": seen})
        if understood:
            self.fields["understood"] = forms.BooleanField(
                label=understood,
                error_messages={"required": _("Tick this if you agree; without it nothing is sent.")},
            )


def _choices(form: forms.Form, name: str, choices: Choices) -> None:
    field = form.fields[name]
    if not isinstance(field, forms.ChoiceField):
        raise TypeError(f"{name} is not a choice.")
    field.choices = list(choices)
