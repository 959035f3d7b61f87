"""For those who write parts: worlds with a known answer, recorded tables as worlds, conformance suites."""
