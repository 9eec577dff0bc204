"""Who may come in: keys that are listed, and certificates of authorities that are, judged in one order of checks."""
