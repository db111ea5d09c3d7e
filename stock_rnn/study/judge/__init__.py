"""Statistics over seeds, claims, and verdicts: records in, verdicts out."""
