"""Finds secrets by what stands before them: `password=`, `Authorization:`, `--token`, `https://user:...@host`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.privacy.judging import is_random, is_secret
from selfdistill.privacy.keys import MAX_KEY_CHARACTERS, Secret, unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
_NAME_REST: Final = re.compile(r"[A-Za-z0-9_-]{0,30}")
_KEY_CHARACTERS: Final = f"{_NAME_CHARACTERS}+/=~"
_MAX_NAME: Final = 60
_MAX_JUDGED: Final = 256  # characters of a value that decide what it is
_ANYTHING: Final = re.compile("")
_BREAK: Final = re.compile(r"(?:\\?\r?\n|\\r\\n|\\n)[ \t]*")

# What a name ends with, without `_`, `-` and `.`, and the kind it makes of its value.
_ENDINGS: Final = {
    **dict.fromkeys(("password", "passwd", "passphrase", "pwd", "passcode"), "password"),
    **dict.fromkeys(("token", "bearer", "jwt"), "token"),
    **dict.fromkeys(("secret", "credential", "credentials", "sig"), "secret"),
    **dict.fromkeys(
        (
            *("apikey", "accesskey", "accesskeyid", "secretkey", "privatekey", "accountkey", "authkey", "signingkey"),
            *("encryptionkey", "sharedkey", "masterkey", "servicekey", "subscriptionkey", "clientkey", "licensekey"),
        ),
        "key",
    ),
    **dict.fromkeys(("auth", "httpauth", "authtoken"), "auth"),
    **dict.fromkeys(("authorization", "proxyauthorization"), "authorization"),
    **dict.fromkeys(("cookie", "setcookie", "cookies"), "cookie"),
}
_LONGEST_FIRST: Final = tuple(sorted(_ENDINGS, key=len, reverse=True))

_SEPARATOR: Final = re.compile(
    r"""(?P<close>\\{0,4}["'`]|%2[27])?\]?(?P<blank>(?:\s|%20){0,3})
    (?P<sign>:=|=>|==?(?!=)|:(?!:)|%3[DdAa]|\\u003[dDaA]|>(?=[^\s<]))
    (?P<after>(?:\s|%20|\+(?=\S)){0,3})""",
    re.VERBOSE,
)
_FLAG_SEPARATOR: Final = re.compile(r"(?:[ \t]|%20)+(?!-)")
_QUOTED: Final = re.compile(
    r"""(?:[bfru]{0,2}|\$)(?P<quote>\\{0,4}["'`]|%2[27])
    (?P<value>(?:(?!(?P=quote))[^\n]
        |\\?\r?\n[ \t]*(?=[^\s"'`]{1,200}(?:\s+[^\s"'`]{8,200}){0,6}(?P=quote))){1,4000})(?P=quote)""",
    re.VERBOSE,
)
_BARE: Final = re.compile(r"[^\s\"'`,;&<>(){}\[\]|\\]+")
_LINE: Final = re.compile(r"""(?:(?!\\[nr"'])[^\n"'`])+""")
_SCHEME: Final = re.compile(
    r"(?:(?:Bearer|Basic|Token|Digest|Negotiate|ApiKey|SharedKey|GoogleLogin|Key|OAuth|Bot)(?: |%20|\+)+)",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"(?: |%20|\+)+([A-Za-z0-9_.~+/=-]{16,})")


def kind_of_name(name: str) -> str:
    """What a value under this name is ("password", "token", "key" ...), "" when the name tells of no secret."""
    flat = name.casefold().translate({95: None, 45: None, 46: None}).rstrip("0123456789")
    if flat.endswith(_LONGEST_FIRST):
        return next(_ENDINGS[ending] for ending in _LONGEST_FIRST if flat.endswith(ending))
    return "key" if name.isupper() and flat.endswith("key") else ""


def find_named(text: str, position: int, needle_end: int) -> Secret | None:
    """The secret after the key word at `position`, if one follows."""
    rest = _NAME_REST.match(text, needle_end)
    name_end = rest.end() if rest else needle_end
    before = text[max(0, position - _MAX_NAME) : position]
    prefix = before[len(before.rstrip(_NAME_CHARACTERS)) :]
    separator = _SEPARATOR.match(text, name_end)
    flag = prefix.startswith("--")
    if separator is None and not flag:
        return _bearer(text, position, name_end)
    name = (prefix + text[position:name_end]).lstrip("-.")
    kind = kind_of_name(name)
    if not kind:
        return None
    if separator is not None:
        return _value(text, separator.end(), kind, name, sign=separator["sign"], spaced=bool(separator["blank"]))
    match = _FLAG_SEPARATOR.match(text, name_end)
    return _value(text, match.end(), kind, name, sign=" ", spaced=False) if match else None


def _value(text: str, start: int, kind: str, name: str, *, sign: str, spaced: bool) -> Secret | None:
    """The secret that begins at `start` as the value of `name`."""
    quoted = _QUOTED.match(text, start)
    if quoted is not None:
        start, end = quoted.span("value")
    if kind in {"authorization", "cookie"}:
        return _header(text, start, end if quoted else None, kind, sign)
    if quoted is not None:
        return Secret(start, end, kind) if is_secret(text[start:end], kind, name, quoted=True) else None
    head = _BARE.match(text, start, start + _MAX_JUDGED)
    if head is None or text[head.end() : head.end() + 1] in {"(", "["}:
        return None
    end = _wrapped_end(text, start, start + len(head[0].rstrip(".:")))
    value = _BREAK.sub("", text[start:end])
    explicit = sign in {" ", "%3D", "%3d", "\\u003d", "\\u003D"} or (sign == "=" and not spaced)
    if not is_secret(value, kind, name, quoted=False, explicit=explicit):
        return None
    whole = _BARE.match(text, start, start + MAX_KEY_CHARACTERS)
    return Secret(start, max(end, whole.end()) if whole and len(head[0]) == _MAX_JUDGED else end, kind)


def _wrapped_end(text: str, start: int, end: int) -> int:
    """Where a secret ends that is broken over lines and whose first line ends at `end`."""
    value = text[start:end]
    last = len(value.rstrip(_KEY_CHARACTERS))
    run = unwrapped(text, start + last, until=_ANYTHING)
    return run.pieces[-1][1] if len(run.pieces) > 1 and run.pieces[0][1] == end else end


def _header(text: str, start: int, end: int | None, kind: str, sign: str) -> Secret | None:
    """The credential in the value of an `Authorization` or `Cookie` header, whether quoted, bare or URL-encoded."""
    if end is None:
        pattern = _BARE if sign.startswith("%") else _LINE
        line = pattern.match(text, start, start + _MAX_JUDGED)
        if line is None or not _is_header(line[0], kind):
            return None
        whole = pattern.match(text, start, start + MAX_KEY_CHARACTERS)
        end = whole.end() if whole else line.end()
    elif not _is_header(text[start:end], kind):
        return None
    scheme = _SCHEME.match(text, start, end) if kind == "authorization" else None
    return Secret(scheme.end() if scheme else start, _wrapped_end(text, start, end), kind)


def _is_header(value: str, kind: str) -> bool:
    """Whether the value of a header has a credential in it rather than code or a placeholder."""
    if kind == "cookie":
        return "=" in value.rstrip("=") or "%3D" in value
    scheme = _SCHEME.match(value)
    credential = value[scheme.end() :] if scheme else value
    # What holds a parenthesis is code: `Authorization: request.headers.get(...)`.
    return "(" not in credential and is_secret(
        credential.strip(), "password" if scheme else "token", "authorization", quoted=True
    )


def _bearer(text: str, position: int, name_end: int) -> Secret | None:
    """`Bearer <credential>` without its header."""
    if text[position:name_end].casefold() != "bearer":
        return None
    match = _BEARER.match(text, name_end)
    return Secret(match.start(1), match.end(1), "authorization") if match and is_random(match[1]) else None


# --- URLs and command lines

_COLON: Final = r"(?::|%3[Aa])"
_WRAP: Final = r"(?:\\?\r?\n|\\n)[ \t]*(?=[^\s/@]{1,200}(?:\s+[^\s/@]{8,200}){0,6}@)"
_USER_INFO: Final = re.compile(
    rf"""(?<=[A-Za-z0-9]){_COLON}(?:\\?/|%2[Ff]){{2}}
    (?P<user>(?:(?!%3[Aa]|%40|%2[Ff])[^\s/?\#@:\"'`<>\\()\[\]]|{_WRAP}){{0,256}}?)
    (?:{_COLON}(?P<password>(?:(?!%40|%2[Ff])[^\s/?\#@\"'`<>\\]|{_WRAP}){{1,1024}}?))?(?:@|%40)(?=[\w\[$])""",
    re.VERBOSE,
)
_PLAIN_USERS: Final = frozenset({"git", "user", "username", "root", "postgres", "admin"})


def find_url_credentials(text: str, start: int) -> Secret | None:
    """The password (or, without one, a key as user name) of the URL whose `://` stands at `start`."""
    match = _USER_INFO.match(text, start)
    if match is None:
        return None
    password = match["password"]
    if password is not None:
        span = match.span("password")
        return (
            Secret(*span, "url-password") if is_secret(password, "password", "", quoted=False, explicit=True) else None
        )
    user = match["user"]
    if user.casefold() in _PLAIN_USERS or not is_random(user):
        return None
    return Secret(*match.span("user"), "url-token")


_COMMAND_LINE: Final = re.compile(
    r"""(?:\b(?:mysql\w*|mariadb\w*)\b[^\n|;&]{0,300}?(?:\s|%20)-p(?:[ ]|%20)?
    |\bsshpass(?:\s|%20)+-p(?:[ ]|%20)?
    |\bredis-cli\b[^\n|;&]{0,200}?(?:\s|%20)-a(?:\s|%20)+
    |\bcurl\b[^\n|;&]{0,300}?(?:\s|%20)(?:-u|--user|--proxy-user)(?:[ =]|%20|%3D)?["']?[^\s:"'%]{1,100}(?::|%3A))
    (?:(?P<quote>["'])(?P<quoted>[^"'\n]{1,200})(?P=quote)|(?P<bare>[^\s"'`|;&%]{1,200}))""",
    re.VERBOSE,
)


def find_command_passwords(text: str) -> Iterator[Secret]:
    """Passwords after `mysql -p`, `sshpass -p`, `redis-cli -a` and `curl -u user:`."""
    for match in _COMMAND_LINE.finditer(text):
        group = "quoted" if match["quoted"] else "bare"
        start = match.start(group)
        end = _wrapped_end(text, start, match.end(group))
        if is_secret(_BREAK.sub("", text[start:end]), "password", "", quoted=False, explicit=True):
            yield Secret(start, end, "password")


_LONG: Final = re.compile(r"[A-Za-z0-9+/_-]{12,512}={0,2}")
_HASHES: Final = ("sha512-", "sha384-", "sha256-", "sha1-")
_NEAR: Final = 40
_MIN_NEAR: Final = 32


def find_random_near(text: str, position: int) -> Iterator[Secret]:
    """Random strings of 32 characters or more that begin or end within 40 characters of this place."""
    low = max(0, position - _NEAR)
    before = text[max(0, low - 512) : low]
    low -= len(before) - len(before.rstrip(_KEY_CHARACTERS))
    while match := _LONG.search(text, low, position + _NEAR + 512):
        if match.start() > position + _NEAR:
            break
        run = unwrapped(text, match.start(), until=_ANYTHING)
        low = max(match.end(), run.pieces[-1][1])
        hashed = text[max(0, match.start() - 8) : match.start()].endswith(_HASHES) or match[0].startswith(_HASHES)
        if len(run.joined) >= _MIN_NEAR and is_random(run.joined) and not hashed:
            yield Secret(match.start(), low, "random")
