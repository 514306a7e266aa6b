"""The run at full length: ``python -m tests.fuzz``."""

import argparse
import sys

from tests.fuzz.running import Unavailable, fuzz


def main() -> int:
    """Run it; return 0 where every answer was as the schema says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=200, help="for each operation and phase")
    parser.add_argument("--seed", type=int, help="run the same again")
    parser.add_argument("--seconds", type=int, help="go on until so much time has passed")
    parser.add_argument("--quick", action="store_true", help="leave out the coverage phase")
    options = parser.parse_args()
    try:
        report = fuzz(
            examples=options.examples,
            seed=options.seed,
            seconds=options.seconds,
            quick=options.quick,
        )
    except Unavailable as reason:
        print(f"not run: {reason}")
        return 2
    print(report)
    return 0 if report.clean else 1


if __name__ == "__main__":
    sys.exit(main())
