"""What an agent's settings start at each event: `python -I -S hook_start.py EVENT AGENT STATE_DIRECTORY`.

Nothing but a door: a script is compiled at each start (12 ms for 400 lines), while `answering`, `hook` and `moments`,
which use the standard library only, come from Python's cache of compiled modules.
"""

import sys

if __name__ == "__main__":
    sys.dont_write_bytecode = True  # an agent's event writes into our spool and nowhere else
    sys.path.append(__file__.removesuffix("/selfdistill/recall/hook_start.py"))
    from selfdistill.recall.answering import main

    main(sys.argv[1:])
