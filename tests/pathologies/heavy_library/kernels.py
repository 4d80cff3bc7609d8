import os
import time

_until = time.thread_time() + float(os.environ.get("HEAVY_LIBRARY_SECONDS", "2.5"))
while time.thread_time() < _until:
    TABLE = [number * number for number in range(10_000)]
