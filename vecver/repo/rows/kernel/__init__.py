"""The sums of roots, compiled; `hatch_build.py` builds `lanes.c` where there is a C compiler."""
