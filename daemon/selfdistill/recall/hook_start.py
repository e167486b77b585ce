"""What an agent's settings start at each event: `python -I -S hook_start.py EVENT AGENT STATE_DIRECTORY`.

Nothing but a door: a script is compiled at each start, while `answering` and `hook`, which stand beside this file and
use the standard library only, come from Python's cache of compiled modules.
"""

import sys

if __name__ == "__main__":
    sys.dont_write_bytecode = True  # an agent's event writes into our spool and nowhere else
    sys.path.append(__file__.rpartition("/")[0])
    from answering import main  # type: ignore[import-not-found]

    main(sys.argv[1:])
