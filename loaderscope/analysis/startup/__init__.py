"""The time before the first batch: its phases, what is behind them, and what would save them."""
