"""The device farm; starts the oildrop executable, never the harness."""
