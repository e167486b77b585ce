"""What redaction must leave alone, what it says, and how long it may take."""

from __future__ import annotations

import time

import pytest

from selfdistill.errors import ConfigError
from selfdistill.privacy.redaction import Redactor, scrub

REDACT = Redactor()
HASH = "3f786850e387550fdab836ed7e6dc881de23001b"

HARMLESS = f"""
commit {HASH}
Author: Joe <joe@example.test>
index 83db48f..bf2a9c1 100644
the token bucket is at {HASH}, the secret of success
"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="
token integrity sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==
session 1b4e28ba-2fa1-11d2-883f-0016d3cca427 of the auth service
token_count: 512
max_tokens=4096
"input_tokens": 120394, "output_tokens": 88
def login(user: str, password: str, token: str | None = None) -> Token:
    password = get_password()
    token = self.token
    token = request.headers["x-token"]
    client = Client(api_key=api_key, secret=os.environ["SECRET"], token=settings.token)
    password: Optional[str] = None
export GITHUB_TOKEN=$TOKEN
export GITHUB_TOKEN="${{TOKEN}}"
Authorization: Bearer $TOKEN
curl -H "Authorization: Bearer ${{API_KEY}}" https://api.example.test/v1
api_key: <your api key>
API_KEY=your-api-key-here
API_KEY=xxxxxxxxxxxxxxxx
password: ********
password=...
const token = process.env.TOKEN;
secret: ${{{{ secrets.DEPLOY_KEY }}}}
if (!token) throw new Error("token missing");
"token": "string", "secret": true, "password": null
auth: required
keyboard: qwerty
key: value
pwd: /home/joe/code/selfdistill
PWD=/home/joe/code/selfdistill-with-a-long-name-2
disk_test_configurationfile and task_live_integrationsuite1
configd_preferences_monitor_is_running_now and mirror-pypi-organisation-packages
ask-or-tell-the-user-about-it-today, task-ant-colony-optimisation-2024
monkey-{HASH[:32]} and disk-{HASH} and TASK{HASH[:32]}
EURASIAPACIFICNORTHEASTX and MSG.some_long_function_name.another_long_name
keyJsonValueOfTheThing.toStringOfTheThing
git@github.com:acme/tool.git
https://user@example.test/path
http://localhost:8080/@scope/package
npm install @types/node@20.1.0 && cat node_modules/.package-lock.json
risk-assessment-2024-final-version-3.docx and task-0123456789abcdef-name
/home/joe/.config/selfdistill/config-2024-11-22.toml
TestGetGitAuthorWithLocalConfig2 is near the secret token key
error: authentication failed for 'joe' (code 401)
Cookie: string
author = "Joe"
"node_id": "MDQ6VXNlcjM1MTkzNA=="
if "-----BEGIN RSA {"PRIVATE"} KEY-----" in text: raise ValueError
The password must have at least 8 characters.
"password": "Enter your password"
cache_key = f"{{user}}:{{page}}"
primary_key=True, foreign_key="users.id"
sort -k2 -u names.txt && mysql -u root -p
""".strip().splitlines()


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless_line_stays(line: str) -> None:
    """Code, hashes, paths, placeholders and prose about secrets are no secrets."""
    assert REDACT(line) is line


def test_harmless_text_stays() -> None:
    """The lines stay when they stand together, too."""
    text = "\n\n".join(HARMLESS)
    assert REDACT(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("password=hunter22", "password=[REDACTED:password]"),
        ("DB_PASSWORD=correcthorse # note", "DB_PASSWORD=[REDACTED:password] # note"),
        ('{"password": "hunter22", "a": 1}', '{"password": "[REDACTED:password]", "a": 1}'),
        ('{\\"password\\": \\"hunter22\\"}', '{\\"password\\": \\"[REDACTED:password]\\"}'),
        ("postgres://joe:hunter22@db:5432/x", "postgres://joe:[REDACTED:url-password]@db:5432/x"),
        ("postgres%3A%2F%2Fjoe%3Ahunter22%40db", "postgres%3A%2F%2Fjoe%3A[REDACTED:url-password]%40db"),
        ("curl -u joe:hunter22 x.test", "curl -u joe:[REDACTED:password] x.test"),
        ("tool --password hunter22 -v", "tool --password [REDACTED:password] -v"),
        ("Cookie: a=1; b=2\nnext", "Cookie: [REDACTED:cookie]\nnext"),
        ("clientSecret: 'a1b2c3d4e5'", "clientSecret: '[REDACTED:secret]'"),
        ("<password>hunter22</password>", "<password>[REDACTED:password]</password>"),
    ],
)
def test_only_the_secret_is_taken_out(text: str, redacted: str) -> None:
    """What stands around a secret stays readable."""
    assert REDACT(text) == redacted


def test_private_key_without_an_end_reaches_to_the_end() -> None:
    """What follows the beginning of a private key may be its body."""
    text = "x\n-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEpAIBAAKCAQEA7\nabc\n[cut]"
    assert REDACT(text) == "x\n[REDACTED:private-key]"


def test_key_goes_on_over_the_line_until_it_is_whole() -> None:
    """A next line that does not look random belongs to a key that is too short without it, and only to such a one."""
    head = "glp" + "at-"
    assert REDACT(f"{head}abcdefgh1j\nklmnopqrstuv\nnext") == "[REDACTED:gitlab]\nnext"
    assert REDACT(f"{head}abcdefgh1jabcdefgh1j\nplainword\nnext") == "[REDACTED:gitlab]\nplainword\nnext"


def test_users_patterns_are_redacted_and_settle() -> None:
    """What the user's patterns match is gone, also when they match the mark itself."""
    redact = Redactor((r"ACME-\d+", r"[A-Z]{4,}", r"x*"))
    once = redact("see ACME-123 and SHOUT")
    assert once == "see [REDACTED:custom] and [REDACTED:custom]"
    assert redact(once) == once


def test_invalid_pattern_is_named() -> None:
    """A pattern that is no regular expression is a configuration error that quotes it."""
    with pytest.raises(ConfigError, match=r"extra_patterns.*\(unclosed") as caught:
        Redactor((r"fine", r"(unclosed"))
    assert caught.value.advice


HOSTILE = (
    "a", "-", "=", '"', "\\", "\n", "password=", 'password="', "token: ", "sk" + "-", "ghp" + "_", "eyJ", "eyJh.",
    "://", "https://a:b", "https://a:b@", "-----BEGIN ", "-----BEGIN RSA PRIVATE " + "KEY-----", "Bearer ",
    "Authorization: ",
    "Cookie: a=", "curl -u ", "mysql -u x ", "AK" + "IA", "secret ", "secret " + "aB3" * 12, "%3D",
    "aB3dE5gH7jK9lM1n\n", "da" + "pi", "_eyJ", "h" + "f_",
    'password="a\n', "api_key=a.b.", "--token ", "=AB", "[REDACTED:key] ", "ghp" + "_abc\n", "A" * 15 + ".",
)  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """Four times the text takes no more than about four times the time, and never a second for 40 KB."""
    text = unit * (40_000 // len(unit))
    # The better of two: time on a core that is shared with another process is not worth as much.
    quarter = min(cpu_seconds(text[: len(text) // 4]) for _ in range(2))
    whole = min(cpu_seconds(text) for _ in range(2))
    assert whole < max(10 * quarter, 0.1)
    assert whole < 1


def cpu_seconds(text: str) -> float:
    """What it costs to redact a text."""
    start = time.process_time()
    REDACT(text)
    return time.process_time() - start


def test_a_megabyte_of_prose_takes_little_time() -> None:
    """Ordinary text costs a few searches: a megabyte takes under 0.1 s even on a slow machine."""
    text = (
        "All work and no play makes every developer a dull person, it says in line after line of this book.\n" * 10_000
    )
    start = time.process_time()
    assert REDACT(text) is text
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("plain \u00e4 text", "plain \u00e4 text"),
        ("a\0b\r\n\tc\x7f", "ab\n\tc"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;https://a.test\x1b\\link\x1b]8;;\x1b\\", "xlink"),
        ("\x1b]0;never closed\nnext line", "\nnext line"),
        ("\x9b31mred \x1bMup\x1b(B", "red up"),
        ("lone \ud83d surrogate", "lone \ufffd surrogate"),
    ],
)
def test_scrubbed_text_has_no_controls(text: str, scrubbed: str) -> None:
    """Escape sequences go as a whole, other control characters alone, lone surrogates are replaced."""
    assert scrub(text) == scrubbed


@pytest.mark.parametrize("unit", ["\x1b", "\x1b[", "\x1b]", "\x1b[1;", "\x9b", "\0", "\ud800", "\x1b]\x1b"])
def test_scrubbing_takes_linear_time(unit: str) -> None:
    """A megabyte of broken escape sequences is scrubbed in under half a second."""
    start = time.process_time()
    scrub(unit * (1_000_000 // len(unit)))
    assert time.process_time() - start < 0.5
