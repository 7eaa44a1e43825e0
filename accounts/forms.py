"""What is typed on the sign-in pages. Messages about a wrong entry belong to the view: they must not tell what was
wrong."""

from django import forms
from django.utils.translation import gettext_lazy as _


class SignInForm(forms.Form):
    login = forms.CharField(
        max_length=64,
        label=_("Account number or mobile phone"),
        widget=forms.TextInput({"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}),
        error_messages={"required": _("Enter your account number or your phone number.")},
    )
    password = forms.CharField(
        max_length=256,
        strip=False,
        label=_("Password"),
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
        error_messages={"required": _("Enter your password.")},
    )


class CodeForm(forms.Form):
    code = forms.CharField(
        max_length=12,
        label=_("6-digit code"),
        widget=forms.TextInput({"inputmode": "numeric", "autocomplete": "one-time-code"}),
        error_messages={"required": _("Enter the 6 digits.")},
    )

    def clean_code(self) -> str:
        code = "".join(str(self.cleaned_data["code"]).split())
        if not (len(code) == 6 and code.isascii() and code.isdigit()):
            raise forms.ValidationError(_("Enter the 6 digits."))
        return code
