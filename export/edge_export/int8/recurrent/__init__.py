"""int8 for recurrent networks. To be read in this order: `cells`, `quantised_layers`, `scan`, `forms`."""
