"""int8 for recurrent networks. To be read in this order: `cells`, `quantised_layers`, `scan`, `forms`.

`nodes` and `node_forms` do the same for recurrent layers among any others.
"""
