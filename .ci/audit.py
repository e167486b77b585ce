"""Asks the vulnerability database about every version in requirements.lock, with pip-audit.

Usage: python .ci/audit.py [--pip-audit PATH]

Exit codes: 0 all were looked up and none is known to be vulnerable; 1 some are; 75 nothing could be looked up here (no
pip-audit, no network, an index without the data), which says nothing; 70 pip-audit itself failed. Told apart because
pip-audit ends with 0 also where it has audited nothing at all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
PATIENCE_SECONDS = 120
SOUND, VULNERABLE, FAILED, UNKNOWN = 0, 1, 70, 75


def judge(output: str, errors: str, code: int) -> tuple[int, str]:
    """What pip-audit's JSON, its messages and its exit code come to: our exit code, and a sentence."""
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = errors.strip().splitlines()[-1:] or [f"it ended with {code}"]
        unreachable = any(
            word in errors for word in ("Connection", "connect", "resolve", "Timeout", "timed out", "Proxy")
        )
        return (UNKNOWN if unreachable else FAILED), f"pip-audit could not look: {last[0]}"
    found = [
        f"{one['name']} {one['version']}: {', '.join(v['id'] for v in one['vulns'])}"
        for one in packages
        if one.get("vulns")
    ]
    audited = [one for one in packages if "skip_reason" not in one]
    if found:
        return VULNERABLE, "known to be vulnerable: " + "; ".join(found)
    if not audited:
        return (
            UNKNOWN,
            f"none of {len(packages)} packages could be looked up: {packages[0]['skip_reason'] if packages else ''}",
        )
    if len(audited) < len(packages):
        return FAILED, f"only {len(audited)} of {len(packages)} packages could be looked up"
    return SOUND, f"{len(audited)} packages, none known to be vulnerable"


def main() -> int:
    """Run it and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pip-audit", default="pip-audit", metavar="PATH")
    arguments = parser.parse_args()
    words = [arguments.pip_audit, "--disable-pip", "--require-hashes", "--requirement", str(LOCK), "--format", "json"]
    try:
        done = subprocess.run(
            [*words, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    except FileNotFoundError:
        code, sentence = UNKNOWN, f"there is no {arguments.pip_audit}"
    except subprocess.TimeoutExpired:
        code, sentence = UNKNOWN, f"no answer within {PATIENCE_SECONDS} s"
    else:
        code, sentence = judge(done.stdout, done.stderr, done.returncode)
    sys.stdout.write(f"{'SKIPPED, NOTHING WAS AUDITED: ' if code == UNKNOWN else ''}{sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
