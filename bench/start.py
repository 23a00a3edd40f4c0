"""How long `dlv up` takes to be ready, and what memory all of it needs.

    python -m bench.start [--after 30]

Starts DLV with the demo in an empty folder, stops it, starts it again, and prints the seconds from the command to its
address for the first and the second start (target of the second: 10 s); then, half a minute after the second, the
proportional memory (PSS) in MB by process (target: 1,500 for all together).
"""

from __future__ import annotations

import argparse
import json
import time

from bench.up import folder, started


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--after", type=float, default=30.0, help="seconds between the second start and the look")
    after = p.parse_args().after
    with folder() as home:
        for which in ("first", "second"):
            began = time.monotonic()
            with started(home, demo=True) as dlv:
                print(json.dumps({"start": which, "seconds": round(time.monotonic() - began, 1)}), flush=True)
                if which == "second":
                    time.sleep(after)
                    by = dlv.pss()
                    said = {k: round(v) for k, v in sorted(by.items())}
                    print(
                        json.dumps({"when": f"{after:g} s after it", "all": round(sum(by.values()))} | said)
                    )


if __name__ == "__main__":
    main()
