"""What was recorded, as columns: spans per lane, points, sampled series, and the reader of event logs."""
