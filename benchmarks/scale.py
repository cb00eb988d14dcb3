"""What vecver does beyond one process, each beside a peer in the same run.

    python benchmarks/scale.py ray speed|workers|memory|histories|kills      see scale_ray.py
    python benchmarks/scale.py fleet                                         see scale_fleet.py
    python benchmarks/scale.py replicas                                      see replicas.py

What follows the subject goes to its script: `scale.py fleet --help`. Ratios hold on a busy machine; times do not.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

SCRIPTS = {"ray": "scale_ray", "fleet": "scale_fleet", "replicas": "replicas"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=SCRIPTS)
    subject: str = parser.parse_args(sys.argv[1:2]).subject
    sys.argv = [f"{sys.argv[0]} {subject}", *sys.argv[2:]]
    import_module(SCRIPTS[subject]).main()  # only this one: each needs packages of its own


if __name__ == "__main__":
    main()
