"""Layers that families share, and finished models as others load them."""
