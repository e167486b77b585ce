"""What the daemon imports, and what it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_DAEMON = """
import json, sys
from selfdistill.cli.lean import left_out
with left_out():
    import selfdistill.cli.daemon_command
loaded = [name for name in ("rich", "ssl", "_hashlib", "anthropic", "httpx", "mcp", "zstandard") if name in sys.modules]
import hashlib, hmac, ssl
hashed = [hashlib.new(name, b"kettle").hexdigest() for name in ("md5", "sha1", "sha256", "blake2b", "sha3_256")]
hashed.append(hmac.new(b"k", b"kettle", hashlib.sha256).hexdigest())
print(json.dumps({"loaded": loaded, "hashed": hashed, "tls": ssl.create_default_context().verify_mode == 2}))
"""
_PLAIN = _DAEMON.replace("with left_out():", "if True:")


def told_by(program: str) -> dict[str, Any]:
    """What a program prints, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_daemon_loads_no_ballast() -> None:
    """The daemon starts without 9 MiB of what others import just in case; hashes and TLS work all the same."""
    lean, plain = told_by(_DAEMON), told_by(_PLAIN)
    assert lean["loaded"] == []
    assert plain["loaded"], "there was something to leave out"
    assert lean["hashed"] == plain["hashed"]
    assert lean["tls"]
