"""No secret leaves with a server's words: the one place where they are cleaned, and the settings that may hold one."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from models.records import storable

HIDDEN = "[key]"
_SHORTEST_SECRET = 8  # "EMPTY" and "none" are what local servers are given, and words of many replies
_SECRET_VARIABLE = re.compile(r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?|AUTH_STRING)$", re.IGNORECASE)
_SECRET_FIELD = re.compile(
    r"api[_-]?key|secret|passw|authorization|credential|bearer|(?:^|[_-])(?:access|auth|hf|api|id)[_-]?token$|^token$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"\s*(?:Bearer\s|Basic\s|sk-[\w-]{8}|hf_\w{8}|gh[pousr]_\w{8}|xox[abps]-)", re.IGNORECASE)


def cleaned(text: str, secrets: str | Iterable[str] | None) -> str:
    r"""A server's words as they may be shown and stored: the secrets replaced, and what databases refuse.

    A secret is found as it is, with any of its characters escaped as JSON (`\u002d`, `\/`) or addresses (`%2D`) do, and
    in base64, alone or behind a user's name.
    """
    text = storable(text)
    for secret in (secrets,) if isinstance(secrets, str) else secrets or ():
        if len(secret.strip()) >= _SHORTEST_SECRET:
            text = _spellings(secret.strip()).sub(HIDDEN, text)
    return text


def secrets_among(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The values of environment variables that are named like secrets: HF_TOKEN, OPENAI_API_KEY."""
    named = {value.strip() for name, value in variables.items() if _SECRET_VARIABLE.search(name)}
    return tuple(sorted(value for value in named if len(value) >= _SHORTEST_SECRET))


def secret_within(value: Any, name: str = "") -> str | None:
    """The name of a field that looks as if it held a secret, at any depth of a JSON value; None if there is none."""
    if isinstance(value, dict):
        for inner, held in value.items():
            if found := secret_within(held, str(inner)):
                return found
        return None
    if isinstance(value, list):
        return next((found for held in value if (found := secret_within(held, name))), None)
    if isinstance(value, str) and (_SECRET_FIELD.search(name) or _SECRET_VALUE.match(value)):
        return name
    return None


def plain_address(address: str) -> str:
    """The address of a server, which is stored and shown, as it was given.

    Raises:
        ValueError: It may hold a secret: a user, a password, a query. The message does not show it.
    """
    if any(mark in address for mark in "@?#"):
        raise ValueError(
            "the address of a server is stored and shown, so it may hold no user, password or query; give the part "
            "without them, and the key in ANTIPODE_OPENAI_API_KEY"
        )
    return address


@lru_cache(maxsize=64)
def _spellings(secret: str) -> re.Pattern[str]:
    return re.compile("|".join("".join(map(_character, form)) for form in (secret, *_in_base64(secret))))


def _character(character: str) -> str:
    """A pattern for the character as it is or escaped, once or several times over."""
    escapes = [re.escape(character)]
    if character in '/"\\':
        escapes.append(rf"\\+{re.escape(character)}")
    units = character.encode("utf-16-be", "surrogatepass").hex()
    escapes.append("".join(rf"\\+u(?i:{units[at : at + 4]})" for at in range(0, len(units), 4)))
    octets = character.encode("utf-8", "surrogatepass").hex()
    escapes.append("".join(f"%(?:25)*(?i:{octets[at : at + 2]})" for at in range(0, len(octets), 2)))
    return f"(?:{'|'.join(escapes)})"


def _in_base64(secret: str) -> list[str]:
    """What of the secret's base64 does not depend on what stands before and behind it, for all three alignments."""
    forms = []
    for before in range(3):
        data = bytes(before) + secret.encode("utf-8", "surrogatepass")
        core = b64encode(data).decode()[-(-before * 8 // 6) : len(data) * 8 // 6]
        forms += [core, core.translate(str.maketrans("+/", "-_"))]
    return sorted(set(forms))
