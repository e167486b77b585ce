"""How good the signals, outcomes and lessons are, measured on labelled data: `python -m bench.quality`."""
