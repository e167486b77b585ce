"""What a process that stays for weeks leaves out: parts of libraries that others import just in case."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Final

# structlog imports `rich` (for colours that a journal does not show, 5.7 MiB) and asyncio, which imports `ssl`
# (4.4 MiB; who asks a model imports it then). hashlib maps OpenSSL for what its own modules do as well (3.4 MiB).
# In all, a daemon without logs had 43.2 MiB and has 33.8.
LEFT_OUT: Final = ("rich", "ssl")
_OPENSSL: Final = "_hashlib"
_OWN_HASHES: Final = ("_md5", "_sha1", "_sha3", "_blake2")  # some distributions leave these to OpenSSL


@contextmanager
def left_out() -> Iterator[None]:
    """Let imports inside the block find none of these; afterwards whoever needs one imports it as usual."""
    names = [*LEFT_OUT, *([_OPENSSL] if all(map(find_spec, _OWN_HASHES)) else [])]
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # documented: this makes an import fail
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)
