"""Whether a turn is English: the cues are, so in any other language nothing can be told."""
# ruff: noqa: SIM905 - lists of words are read, and kept in order, as running text

from __future__ import annotations

import re
from typing import Final

_READ: Final = 600  # characters
_WORD: Final = re.compile(r"[^\W\d_]+")
_LAST_LATIN: Final = "\u024f"

# The commonest small words of each, without those that English or code writes the same way ("die", "comment", "per").
_ENGLISH: Final = frozenset(
    """
    the a an and or but not it its this that these those i you we they he my your our to of in on at for from with by as
    is are was were be been do does did don doesn didn isn have has had can could will would should what why how when
    where which who if then there here so just still now also please yes thanks use fix make add all some any more again
    """.split()
)
_FOREIGN: Final = frozenset(
    """
    der das und nicht ist ein eine einen ich wir ihr mit auf dass noch immer bitte nein kein keine aber wie warum jetzt
    wird werden kann geht mach mache hier doch auch zu bei nur schon funktioniert stimmt falsch gut danke
    het een niet ik je wij maar wat waarom nee graag deze zijn werkt moet naar voor ja
    och inte det som jag fungerar ikke og jeg virker hvorfor
    le la les un une des du de est pas je tu nous vous elle mais que qui avec dans cela ce cette oui
    merci pourquoi toujours fonctionne faut fais parfait
    el los las una pero para por esto eso esta muy gracias usa falta funciona sigue porque hay hazlo bueno adelante
    uma em isso ainda sim obrigado
    che di gli sono questo quello ancora grazie favore anche funziona
    nie jest dlaczego bir neden evet
    """.split()
)


def is_english(text: str) -> bool:
    """Whether what a person wrote is English, or too little to tell ("lgtm", "2"); code words count for nothing."""
    words = _WORD.findall(text[:_READ].lower())
    letters = sum(map(len, words))
    strange = sum(len(word) for word in words if max(word) > _LAST_LATIN)
    if strange * 4 > letters:
        return False
    foreign = sum(word in _FOREIGN or (not word.isascii()) for word in words)
    return not foreign or foreign < sum(word in _ENGLISH for word in words)
