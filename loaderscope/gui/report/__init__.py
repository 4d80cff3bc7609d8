"""The report of a session: its content, and the writers of HTML, PDF, SVG and PNG."""
