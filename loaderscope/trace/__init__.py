"""The trace of a trial as columns (spans, points, sampled series), and the reader of event logs that fills it."""
