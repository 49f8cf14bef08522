"""The report of a training run: its metrics, its pictures, its page, and runs side by side."""
