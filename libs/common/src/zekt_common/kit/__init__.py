"""The service kit: what every Zekt service is made of, so that each one's own code is only its own subject."""
