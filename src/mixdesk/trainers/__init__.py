"""Who answers a trial: the built-in engine, any outside program, a synthetic world, a recorded table."""

PARTS: dict[str, str] = {
    "builtin": "builtin:Builtin",
    "command": "command:Command",
    "synthetic": "synthetic:Synthetic",
    "replay": "replay:Replay",
}
