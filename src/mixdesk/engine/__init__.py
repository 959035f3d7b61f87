"""One trained and evaluated model: the only room that knows torch, reached through the process of `worker.py`."""
