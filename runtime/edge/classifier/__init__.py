"""Pictures in, predictions out: one picture, many, or a page of digits, and what is no digit."""
