"""The report of a session: what it tells, and how that is written as HTML, PDF, SVG and PNG."""
