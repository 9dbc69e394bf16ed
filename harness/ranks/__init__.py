"""One run in several processes: how they are launched, heard, counted and started again.

`launch` what the framework's own launcher is told; `minder` stands over one rank and tells how it ended; `hub` hears
all of them; `crew` weighs what they claim; `checkpoints` where a restarted run goes on; `lineage` dies with its parent.
"""
