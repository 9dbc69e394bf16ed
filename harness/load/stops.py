"""Why a load generator stopped; `stopped_by` of the log's `served` event."""

MINIMUM = "minimum"
"""It issued what its scenario asks for, and everything was answered."""

DEADLINE = "deadline"
"""The run had no more time."""

OVERFLOW = "overflow"
"""More requests were unanswered than in any system that keeps the bounds at this rate."""

DRAIN = "drain"
"""Requests were still unanswered too long after the last one was issued."""

ERROR = "error"
"""The model failed."""
