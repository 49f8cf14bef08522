"""int8: the candidates that suit a model, what each costs and gains, and the one that is packed."""
