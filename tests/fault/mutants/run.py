"""Breaks our own code on purpose, one break at a time, and looks whether the tests notice.

Usage: PYTHONPATH=tests python -m fault.mutants.run [--only WORDS] [--json]

Each mutant of `breaks.py` is applied to a temporary copy of the package, which is imported instead of the real one; the
real tree is never touched. A mutant is caught if a test fails (or hangs) under it that passes without it. Exit code 1
if one survives, 2 if one cannot be applied any more or its tests do not even start.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fault.mutants.breaks import MUTANTS, Mutant

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "daemon" / "selfdistill"
PATIENCE_SECONDS = 300.0  # a mutant that hangs is caught, too
CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "BROKEN"
TESTS_FAILED = 1  # pytest's exit code


def apply(mutant: Mutant, directory: Path) -> bool:
    """Put a copy of the package with this break into the directory; False if there is no such text, or more of it."""
    shutil.copytree(PACKAGE, directory / "selfdistill", ignore=shutil.ignore_patterns("__pycache__"))
    path = directory / "selfdistill" / mutant.file
    text = path.read_text("utf-8")
    path.write_text(text.replace(mutant.text, mutant.becomes), "utf-8")
    return text.count(mutant.text) == 1


def judge(mutant: Mutant) -> tuple[str, str]:
    """What became of a mutant, and the test that noticed it."""
    with tempfile.TemporaryDirectory(prefix="selfdistill-mutant-") as name:
        if not apply(mutant, Path(name)):
            return BROKEN, f"{mutant.file} does not hold its text exactly once"
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", "-m", "", *mutant.tests]
        paths = os.pathsep.join([name, str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return CAUGHT, "its tests hang"
    failed = [line.split(" - ")[0].removeprefix("FAILED ") for line in done.stdout.splitlines() if "FAILED" in line[:6]]
    if done.returncode == TESTS_FAILED and failed:
        return CAUGHT, failed[0]
    if done.returncode == 0:
        return SURVIVED, ""
    return BROKEN, "\n".join(done.stdout.splitlines()[-5:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="mutants with these words in their names")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = {}
    for mutant in MUTANTS:
        if arguments.only not in mutant.name:
            continue
        begun = time.monotonic()
        verdict, noticed = judge(mutant)
        found[mutant.name] = verdict
        if not arguments.json:
            print(f"{verdict:8} {mutant.name} ({time.monotonic() - begun:.0f} s) {noticed}", flush=True)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(f"{list(found.values()).count(CAUGHT)} of {len(found)} caught")
    if BROKEN in found.values():
        return 2
    return 1 if SURVIVED in found.values() else 0


if __name__ == "__main__":
    sys.exit(main())
