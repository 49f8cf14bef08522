"""The heavy half that exports: convert, quantise, parity, pack. Needs the extra `export`."""
