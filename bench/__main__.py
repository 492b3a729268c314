"""All benchmarks that have a goal, one after the other, and what came of the goals: `python -m bench`, or `make bench`.

python -m bench                            (let nothing run beside it; about an hour and three quarters)
python -m bench --only selection,index     (the figures of the others stay as they are)
python -m bench --only ""                  (measures nothing; writes anew what was measured before)

Each program writes a JSON file beside this one, with machine, versions, peers, limits and spread, and prints it. From
these files bench/results.json is made, and the table in docs/performance.md. What `antipode plan` counts with, and was
measured otherwise now, is told.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack

from bench.goals import FOLDER, PROGRAMS, machines, results, table, with_table
from bench.plan_rates import other_rates

ROOT = FOLDER.parent
RESULTS = FOLDER / "results.json"
PAGE = ROOT / "docs" / "performance.md"
NEED_POSTGRESQL = ("database", "million", "pairs_page")
SIZES = {"index": ("--count", "131072")}  # a million vectors take a quarter of an hour


def run(program: str) -> bool:
    """Run one to its end; it prints what it finds. Whether it came to its end."""
    print(f"\n== python -m bench.{program}", flush=True)
    with ExitStack() as stack:
        command = [sys.executable, "-m", f"bench.{program}", *SIZES.get(program, ())]
        if program in NEED_POSTGRESQL:
            sys.path.insert(0, str(ROOT / "tests" / "support"))
            from postgresql import postgresql  # type: ignore[import-not-found]

            server = stack.enter_context(postgresql())
            command += ["--postgresql", f"{server.url}/postgres"]
        ended = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
        return ended.returncode == 0


def main() -> int:
    """Measure, write, print; 1 where a program failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PROGRAMS), help="of these, by commas: %(default)s")
    names = list(filter(None, parser.parse_args().only.split(",")))
    if unknown := set(names) - set(PROGRAMS):
        parser.error(f"no such program: {', '.join(sorted(unknown))}; there are {', '.join(PROGRAMS)}")
    failed = [name for name in names if not run(name)]
    rows = results()
    written = [row._asdict() | {"is_met": row.is_met} for row in rows]
    RESULTS.write_text(json.dumps({"machines": machines(), "rows": written}, indent=2, ensure_ascii=False) + "\n")
    PAGE.write_text(with_table(PAGE.read_text(), rows))
    print(f"\n{table(rows)}\n\n{RESULTS.relative_to(ROOT)} and {PAGE.relative_to(ROOT)} are written")
    for name, rate in other_rates().items():
        print(f"tasks/config/plan.py has another {name} than was measured: {rate:.4g}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
