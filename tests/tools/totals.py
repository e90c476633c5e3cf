"""Adds up the tables of a /proc folder, as people's scripts do: totals.py FOLDER prints a JSON object, in pages.

meminfo is read by psutil, the rest by splitting lines."""

import json
import sys
from pathlib import Path

import psutil

PAGE = 4096
folder = Path(sys.argv[1])
psutil.PROCFS_PATH = str(folder)


def lines(name):
    return (folder / name).read_text().splitlines()


def blocks(counts):
    return sum(int(count) << order for order, count in enumerate(counts))


memory = psutil.virtual_memory()
zones = {"managed": 0, "pages free": 0, "count:": 0}
for line in lines("zoneinfo"):
    for name in zones:
        if line.strip().startswith(name + " "):
            zones[name] += int(line.split()[-1])
slabs = [line.split() for line in lines("slabinfo")[2:]]
areas = [line.split() for line in lines("vmallocinfo")]
types = [line.split() for line in lines("pagetypeinfo") if ", type " in line]
print(json.dumps({
    "total": memory.total // PAGE,
    "free": memory.free // PAGE,
    "available": memory.available // PAGE,
    "zones_managed": zones["managed"],
    "zones_free": zones["pages free"],
    "zones_pcp": zones["count:"],
    "buddy_free": sum(blocks(line.split()[4:]) for line in lines("buddyinfo")),
    "types_free": sum(blocks(words[6:]) for words in types),
    "slab": sum(int(words[5]) * int(words[14]) for words in slabs),
    "vmalloc": sum(int(word[6:]) for words in areas if "vmalloc" in words for word in words if word.startswith("pages=")),
}))
