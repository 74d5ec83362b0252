"""A clock that is moved by hand, for programs that are started with it."""

import mmap
import struct
import subprocess
from pathlib import Path

from .lab import WORK, Failed

SOURCE = Path(__file__).resolve().with_suffix(".c")


class Clock:
    """Wall time as programs see it: so many seconds ahead of this machine's. Timers go on as ever."""

    def __init__(self, lab):
        self.file, self.ahead = lab.dir / "clock", 0
        self.file.write_bytes(struct.pack("=q", 0))
        with open(self.file, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8)

    def advance(self, seconds):
        self.ahead += int(seconds)
        self.map[:8] = struct.pack("=q", self.ahead)

    def environment(self):
        """What a program finds in its environment to live by this clock."""
        library = WORK / "clock.so"
        command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, SOURCE, "-ldl"]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise Failed(f"gcc: {made.stderr[-1000:]}")
        return {"LD_PRELOAD": str(library), "CLOCK_FILE": str(self.file)}
