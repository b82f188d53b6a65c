"""AMQP 1.0, the side that is connected to: types, frames, sessions and links, nothing of any broker."""
