"""What runs in a worker: a program that makes the target that it is told of, and calls what it is asked to.

It imports nothing but the standard library, so its memory is the target's.
"""

import gc
import importlib
import json
import os
import queue
import sys
import threading
from typing import Any


def _serve() -> None:
    """The worker: standard output is kept for answers, whatever the target prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    messages: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(messages,), daemon=True).start()
    job = json.loads(messages.get())
    if job["cores"] and sys.platform == "linux":
        os.sched_setaffinity(0, job["cores"])  # before any library counts its threads
    sys.path[:] = job["path"]
    known = importlib.import_module(job["errors"])
    target: Any = importlib.import_module(job["module"])
    for part in job["name"].split("."):
        target = getattr(target, part)
    served = target(*job["args"])
    gc.freeze()
    gc.disable()  # nobody is timed while it collects
    while True:
        message = json.loads(messages.get())
        try:
            answer = {"value": getattr(served, message["method"])(*message["args"])}
        except known.VitcError as failure:
            answer = {"error": [type(failure).__name__, str(failure)]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _listen(messages: "queue.SimpleQueue[str]") -> None:
    """Hand on what is asked; when nobody can ask any more, end, whatever is under way."""
    for line in sys.stdin:
        messages.put(line)
    os._exit(0)


if __name__ == "__main__":
    _serve()
