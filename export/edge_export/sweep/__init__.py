"""Many runs of training side by side: a grid of settings, or a random share of it, judged on validation data."""
