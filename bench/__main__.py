"""Run benches one after the other: `make bench`, or some of them by name: `make bench ARGS="impact ingest"`.

Each is a program of its own with settings of its own: `python -m bench.NAME --help`.
"""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import bench

#: parts that others use
_NO_BENCH = {"__main__", "estates", "up"}


def main(wanted: list[str]) -> int:
    known = sorted(m.name for m in pkgutil.iter_modules(bench.__path__) if m.name not in _NO_BENCH)
    unknown = [w for w in wanted if w not in known]
    if unknown:
        print(f"no bench is called {unknown[0]}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    failed = 0
    for name in wanted or known:
        print(f"==== {name}", flush=True)
        failed |= subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
