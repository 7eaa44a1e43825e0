"""How names and numbers are shown: enough for their owner to know them again, too little for anyone else."""


def mask_name(name: str) -> str:
    """陈若兰 becomes 陈**; a name in Latin letters keeps the first letter of each word."""
    if " " in name.strip():
        return " ".join(f"{word[0]}{'*' * (len(word) - 1)}" for word in name.split())
    return name[:1] + "*" * max(len(name) - 1, 0)


def mask_phone(phone: str) -> str:
    """13812342046 becomes 138****2046."""
    return f"{phone[:3]}{'*' * (len(phone) - 7)}{phone[-4:]}" if len(phone) > 7 else "*" * len(phone)


def mask_email(email: str) -> str:
    """ruolan@example.com becomes r*****@example.com."""
    name, at, domain = email.partition("@")
    return f"{name[:1]}{'*' * max(len(name) - 1, 1)}{at}{domain}" if at else "*" * len(email)


def mask_account(number: str) -> str:
    """Everything but the last three characters."""
    return "*" * max(len(number) - 3, 0) + number[-3:] if len(number) > 3 else "*" * len(number)


def mask_id_number(number: str) -> str:
    """The first and the last four characters, as Chinese forms print an ID number."""
    return f"{number[:1]}{'*' * (len(number) - 5)}{number[-4:]}" if len(number) > 8 else "*" * len(number)
