"""Zekt's shared kit: envelope, published contracts, ports, adapters and the service kit."""
