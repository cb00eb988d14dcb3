"""What vecver does beyond one process, each beside a peer in the same run; a subcommand for each subject.

    python benchmarks/scale.py ray speed|workers|memory|histories|kills      see scale_ray.py

Prints JSON. Ratios hold on a busy machine; times do not.
"""

from __future__ import annotations

import argparse

import scale_ray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    subjects = parser.add_subparsers(required=True)
    scale_ray.add_to(subjects.add_parser("ray", help="ingest on Ray"))
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
