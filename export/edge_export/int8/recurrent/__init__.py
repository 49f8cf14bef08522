"""The integer forms of recurrent layers."""
