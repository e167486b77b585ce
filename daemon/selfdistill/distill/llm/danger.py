"""Whether a lesson must wait for a person: it may carry a stranger's instructions, or do harm if it does.

Not a filter that makes hostile text safe: nothing can be. What is doubtful is held, and a person reads it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from unicodedata import normalize

from selfdistill.distill.llm.excerpts import folded_space
from selfdistill.distill.llm.transcript import Tier
from selfdistill.model import EventKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfdistill.distill.llm.transcript import Entry

MOST_PLACEHOLDERS: Final = 2  # in one word of a command

_DANGEROUS: Final = re.compile(
    r"""
    # other rules
    \b(?:ignor\w*|disregard|forget|overrid\w*|bypass\w*|discard|vergiss|missacht\w*|olvida|oublie\w*)\b .{0,40}
        \b(?:previous|prior|above|earlier|preceding|system|your|vorherig\w*|anterior\w*|pr[eé]c[eé]dent\w*|instruc\w*
            |anweisung\w*|rules?|prompts?|guidelines?|safety|security|lessons?)\b
    | \b(?:system|developer|hidden|secret|initial) \s (?:prompt|message|instruction)s?\b
    | \b(?:new|real|actual|updated) \s instructions?\b | \byou \s are \s (?:now|an?\s)\b | \bjailbreak
    | \[/?inst\] | <\| | \b(?:system|assistant|human|user)\s*:\s
    | \b(?:do \s not|don't|never|without) \s (?:\w+\s){0,2} (?:tell\w*|inform\w*|ask\w*|mention\w*|notif\w*
        |confirm\w*|show\w*|warn\w*|reveal\w*|approval|permission|consent)\b
    # places
    | \b(?:https?|ftp|file|ssh|git|wss?)\s?:\s?// | \b(?:data|javascript):\S | \bwww\.
    | \b\d{1,3}(?:\.\d{1,3}){3}\b | \b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|ru|xyz|tk|onion)\b
    # a stranger's code
    | \b(?:curl|wget|invoke-webrequest|iwr|nc|ncat|netcat|telnet)\b
    | \|\s*(?:sudo\s+)?(?:\w*sh|python\d?|perl|node|ruby)\b
    | \b(?:eval|exec)\b\s*["'($`] | \bbase64\b | \bxxd\b | \bpowershell\b | \biex\b | \bcrontab\b | /dev/tcp/
    # secrets
    | passw | passphrase | \bcredential | \bsecrets?\b | \btokens?\b
    | \b(?:api|access|private|ssh|gpg|signing)[ _-]?keys?\b | \bid_(?:rsa|ed25519)\b
    | \.(?:ssh|env|npmrc|netrc|pypirc|aws|gnupg|kube)\b | \bkeychain\b | \bcookies?\b
    | authorized_keys | /etc/(?:passwd|shadow|sudoers)
    # harm
    | \brm\s+-\w*[rf] | \bsudo\b | \bchmod\s+(?:-\w+\s+)*[0-7]*7\b | \bmkfs | \bdd\s+if= | --no-verify\b
    | --no-gpg-sign\b | --dangerously | --privileged\b | --trusted-host\b | --no-check-certificate\b | --insecure\b
    | \b(?:disable|turn \s off|switch \s off|deactivate|skip)\b .{0,40}
        \b(?:auth\w*|verif\w*|signature\w*|certificate\w*|tls|ssl|sandbox\w*|security|firewall|permission\w*|hooks?
            |review\w*|approval\w*|antivirus|audit\w*)\b
    | \bgit \s push \b .{0,40} (?:--force\b|\s-f\b) | \bpublish\b .{0,30}\b(?:publicly|packages?)\b
    | \b(?:send|upload|post|e-?mail|forward|exfiltrat\w*|transmit|leak|paste)\b .{0,60} \b(?:to|at|into)\b
    """,
    re.VERBOSE,
)
_MIXED_SCRIPTS: Final = re.compile(r"[a-z][\u0370-\u052f]|[\u0370-\u052f][a-z]")
_ENCODED: Final = re.compile(r"(?=[A-Za-z+/=]*\d)(?=[a-z\d+/=]*[A-Z])(?=[A-Z\d+/=]*[a-z])[A-Za-z\d+/=]{40,}")

_CODE: Final = re.compile(r"`([^`]+)`")
_COMMAND_CHARACTERS: Final = re.compile(r"[\s|&;$<>]|\A\.{1,2}/|\A/")
_ARTICLES: Final = r"(?:(?:the|an?|its|this|that|your|only|first|always)\s+)*+"
_TOLD: Final = re.compile(
    r"\b(?:run|execut|invok|launch|install|download|fetch|visit|open|brows|source|call|start|add|import|type|enter|pipe"
    rf"|clone|pull)(?:e|s|es|ing|ning)?\s+{_ARTICLES}`([^`]+)`",
    re.IGNORECASE,
)
_BARE: Final = re.compile(
    r"\b(?:run|running|execute|executing|invoke|launch|install|installing|download|visit|browse|clone)\s+"
    rf"{_ARTICLES}(?!(?:all|any|both|each|every|it|them|these|those|again|before|after|with|from|in|on|as|at|into|to|and"
    r"|or|one|tests?|lint\w*|checks?|builds?|format\w*|type|code|migrations?|commands?|dependencies|packages?|project"
    r"|full|whole|unit|integration|single|individual|affected|suite)\b|`)([^,;:()`]+)",
    re.IGNORECASE,
)
_PHRASE_END: Final = re.compile(
    r"\s(?:before|after|first|instead|then|when|whenever|if|so|because|and|or|to|in|on|for|from|with|once|again|until"
    r"|rather|while|at|as|by|which|that|every|each)\s.*|[.!?]+(?:\s.*|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_PLACEHOLDER: Final = re.compile(r"<[^<>\s]*>|\u2026|\.{3}|\b[A-Z_]{2,}\b")


def is_dangerous(text: str) -> bool:
    """Whether a text speaks of what an attacker would want: other rules, other places, code, secrets, harm."""
    plain = folded_space(normalize("NFKC", text)).casefold().replace("\u2019", "'")
    return bool(_DANGEROUS.search(plain) or _MIXED_SCRIPTS.search(plain) or _ENCODED.search(text))


class Grounds:
    """What a session's commands may be taken from: a person's words, and calls of the agent that worked.

    A call does not count if a tool's output, a file or a page had its words before: then a stranger may have told the
    agent to run it.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._said = [_folded(entry) for entry in entries if entry.tier is Tier.USER]
        self._called = [
            (entry.number, _folded(entry))
            for entry in entries
            if entry.kind is EventKind.TOOL_CALL and not entry.failed
        ]
        self._told = [
            (entry.number, _folded(entry))
            for entry in entries
            if entry.tier in {Tier.TOOL, Tier.WEB, Tier.STATE} and entry.kind is not EventKind.TOOL_CALL
        ]

    def has_strange_command(self, action: str) -> bool:
        """Whether an action tells to run something that neither a person named nor the agent came up with."""
        return any(not self._is_grounded(command) for command in _commands(action))

    def _is_grounded(self, command: str) -> bool:
        """Whether the command's words stand where they may be taken from."""
        expression = _words_of(command)
        if expression is None:
            return False
        if any(expression.search(text) for text in self._said):
            return True
        first = next((number for number, text in self._called if expression.search(text)), 0)
        return first > 0 and not any(number < first and expression.search(text) for number, text in self._told)


def _folded(entry: Entry) -> str:
    """An entry's text as commands are looked up in it."""
    return folded_space(" \0 ".join(entry.text.pieces)).casefold()


def _commands(action: str) -> Iterator[str]:
    """What an action tells to run: code that looks like a command, or whatever follows a verb of running."""
    yield from (code for code in _CODE.findall(action) if _COMMAND_CHARACTERS.search(code.strip()))
    yield from _TOLD.findall(action)
    for phrase in _BARE.findall(action):
        yield _PHRASE_END.sub("", f"{phrase} ").strip()


def _words_of(command: str) -> re.Pattern[str] | None:
    """An expression for the command's words in order, placeholders open; None if too little is left to look for."""
    words = [_PLACEHOLDER.split(word) for word in command.split()]
    if not words or max(map(len, words[0])) < 2:  # noqa: PLR2004 - "[", "." ground nothing
        return None
    if max(map(len, words)) > MOST_PLACEHOLDERS + 1:  # each multiplies what backtracking may cost
        return None
    patterns = [r"\S{0,40}".join(re.escape(piece.casefold()) for piece in pieces) for pieces in words]
    return re.compile(r"(?<!\w)" + " ".join(patterns) + r"(?!\w)")
