"""From evidence to metric records, one file a theme; a metric that is missing says why."""
