"""User names, passwords and tokens in addresses: what of a text may be shown or kept, and what may not be committed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.bench.errors import UsageError

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)?://(?P<rest>\S+)")
_AUTHORITY = re.compile(r"[^/?#]*")
_PLAIN_AUTHORITY = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::\d*)?")
_VARIABLE = re.compile(r"\$\{[A-Za-z_]\w*\}", re.ASCII)
_PUBLIC_USERS = {"git", "oauth2accesstoken", "VssSessionToken", "__token__", "_json_key_base64", "aws"}
"""User names that everybody has: a keyring knows the password that belongs to one."""


def without_credentials(text: str) -> str:
    """`text` with an ellipsis for what its addresses have before their host; variables, `${NAME}`, stay."""
    return _ADDRESS.sub(_masked, text) if "@" in text else text


def refuse_credentials(lines: Iterable[str], *, where: str) -> None:
    """Raise `UsageError` where one of `lines`, which are for a file that people commit, has a password or a token."""
    for line in lines:
        for address in _ADDRESS.finditer(line):
            user, colon, password = _user_of(address["rest"]).partition(":")
            alone = user and not colon and user not in _PUBLIC_USERS and "ssh" not in (address["scheme"] or "")
            secret = password or (user if alone else "")
            if secret and not _VARIABLE.fullmatch(secret):
                msg = (
                    f"{where}: {without_credentials(line)!r} has a password or a token in it, and what is made of it "
                    "is kept in git. Write ${VARIABLE} in its place, as in https://${NAME}:${PASSWORD}@host/: uv "
                    "fills in what the environment has."
                )
                raise UsageError(msg)


def _masked(address: re.Match[str]) -> str:
    rest = address["rest"]
    told = _user_of(rest)
    if not told:
        return address[0]
    parts = (part if _VARIABLE.fullmatch(part) else "…" for part in told.split(":", maxsplit=1))
    return f"{address['scheme'] or ''}://{':'.join(parts) if '${' in told else '…'}{rest[len(told) :]}"


def _user_of(rest: str) -> str:
    """What an address has before the `@` of its host; `rest` is all that follows its `://`."""
    authority = _AUTHORITY.match(rest)
    assert authority is not None
    if "@" in authority[0]:
        return authority[0].rpartition("@")[0]
    # A colon that no port follows begins a password, which has a slash in it; a later `@` may be a path's own.
    if _PLAIN_AUTHORITY.fullmatch(authority[0]):
        return ""
    return rest.rpartition("@")[0]
