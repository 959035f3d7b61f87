"""The answer: a schedule with its rivals, comparisons, verdict and evidence."""
