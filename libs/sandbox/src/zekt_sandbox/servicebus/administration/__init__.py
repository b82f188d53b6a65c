"""The Atom administration of a namespace: topics, subscriptions and rules, over the broker's own entities."""

from zekt_sandbox.servicebus.administration.front import administration_handler

__all__ = ["administration_handler"]
