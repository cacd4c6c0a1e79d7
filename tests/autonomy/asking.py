"""Users of routes on one host; runs there on Debian's own Python, so it stands alone. I/O.

``asking.py NAME=ADDRESS...`` asks each ten times a second at port 80, by a connection each time, until
SIGTERM; then prints as JSON for each NAME what it saw: [[sent_s, problem], ...], problem "" for an answer.
``asking.py once ADDRESS`` prints how many seconds one answer took. Times are CLOCK_MONOTONIC, which
containers of one machine share.
"""

import http.client
import json
import signal
import sys
import threading
import time

EVERY_S = 0.1
PATIENCE_S = 2.0
FIRST_S = 30.0


def get(address, timeout_s):
    """From the address to itself: nothing leaves the host where it is not there yet."""
    connection = http.client.HTTPConnection(address, 80, timeout=timeout_s, source_address=(address, 0))
    try:
        connection.request("GET", "/")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise OSError(f"status {status}")


def ask(address, seen, ended):
    due = time.monotonic()
    while not ended.wait(max(0.0, due - time.monotonic())):
        sent, problem = time.monotonic(), ""
        try:
            get(address, PATIENCE_S)
        except (OSError, http.client.HTTPException) as error:
            problem = repr(error)[:120]
        seen.append((sent, problem))
        due = max(due + EVERY_S, time.monotonic())


def ask_all(named):
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    seen = {}
    threads = []
    for one in named:
        name, _, address = one.partition("=")
        seen[name] = []
        threads.append(threading.Thread(target=ask, args=(address, seen[name], ended)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(seen), flush=True)


def once(address):
    began = time.monotonic()
    get(address, FIRST_S)
    print(json.dumps(time.monotonic() - began))


if __name__ == "__main__":
    once(sys.argv[2]) if sys.argv[1] == "once" else ask_all(sys.argv[1:])
