import time

_until = time.thread_time() + 2.5
while time.thread_time() < _until:
    TABLE = [number * number for number in range(10_000)]
